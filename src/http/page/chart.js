// How was it? For each phase the house, the cars on top, and the fuse above, over 10 minutes or a day.

import { amps, clock, make, number, say, tell, wholeAmps } from './words.js';

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 600;
const HEIGHT = 100;
/** Values a span shows, as the gateway keeps them: /history.json. */
const SLOTS = [600, 1440];
const NOUNS = ['the last 10 minutes', 'the last 24 hours'];

/** Charts for so many phases; `chart.place(i)` is the element of phase i. */
export function charts(phases) {
  const state = { spans: [], until: 0, limit: [], usable: [], chosen: 0, cursor: null };
  const rows = Array.from({ length: phases }, (_, i) => chartRow(i));
  rows.forEach((row) => listen(row.plot, state, () => draw(rows, state)));
  return {
    place: (i) => rows[i].place,
    choose(span) { state.chosen = span; state.cursor = null; draw(rows, state); },
    /** The answer of /history.json. */
    load(history) {
      state.spans = history.spans;
      state.until = Date.parse(history.until);
      draw(rows, state);
    },
    /** A live picture of the grid connection: the seconds grow by it until the next load. */
    add(circuit, at) {
      state.limit = circuit.limit_a;
      state.usable = circuit.limit_a.map((limit, i) => limit - circuit.margin_a[i]);
      append(state, circuit, Date.parse(at));
      draw(rows, state);
    },
  };
}

function chartRow(i) {
  const plot = document.createElementNS(SVG, 'svg');
  plot.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  plot.setAttribute('preserveAspectRatio', 'none');
  plot.setAttribute('role', 'img');
  plot.setAttribute('tabindex', '0');
  const paths = {};
  for (const name of ['house', 'export', 'cars', 'usable', 'fuse', 'zero', 'peak', 'cursor']) {
    paths[name] = document.createElementNS(SVG, 'path');
    paths[name].setAttribute('class', name);
    plot.append(paths[name]);
  }
  const top = make('span', 'tick top num');
  const axis = make('div', 'axis num');
  const then = make('p', 'then num');
  const place = make('div', 'chart', '', make('div', 'plot', '', plot, top, then), axis);
  return { i, plot, paths, top, axis, then, place };
}

function append(state, circuit, at) {
  const seconds = state.spans[0];
  if (!seconds) return;
  const ahead = Math.floor(at / 1000) - Math.floor(state.until / 1000);
  if (ahead < 0 || ahead > SLOTS[0]) return;
  for (let i = 0; i < 3; i++) {
    for (const key of ['house_a', 'cars_a', 'headroom_a']) {
      const list = seconds[key][i];
      for (let step = 0; step < ahead; step++) list.push(null);
      list[Math.max(0, list.length - 1)] = circuit[key] ? circuit[key][i] : null;
      if (list.length > SLOTS[0]) list.splice(0, list.length - SLOTS[0]);
    }
  }
  state.until += ahead * 1000;
}

function draw(rows, state) {
  const span = state.spans[state.chosen];
  if (!span || !state.limit.length) return;
  const slots = SLOTS[state.chosen];
  const range = { low: 0, high: 1 };
  for (const { i } of rows) {
    range.high = Math.max(range.high, state.limit[i]);
    span.house_a[i].forEach((house, n) => {
      const load = (house ?? 0) + (span.cars_a[i][n] ?? 0);
      range.low = Math.min(range.low, house ?? 0, load);
      const peak = span.headroom_a[i][n] == null ? load : state.usable[i] - span.headroom_a[i][n];
      range.high = Math.max(range.high, load, peak);
    });
  }
  range.high *= 1.04;
  for (const row of rows) drawRow(row, span, slots, range, state, row === rows.at(-1));
}

function drawRow({ i, plot, paths, top, axis, then }, span, slots, { low, high }, state, isLast) {
  const house = span.house_a[i];
  const cars = span.cars_a[i];
  const first = slots - house.length;
  const x = (n) => (((first + n) * WIDTH) / (slots - 1)).toFixed(1);
  const y = (value) => (HEIGHT - ((value - low) * HEIGHT) / (high - low)).toFixed(1);
  const level = (value) => `M0 ${y(value)}H${WIDTH}`;
  const load = house.map((value, n) => (cars[n] == null ? null : (value ?? 0) + cars[n]));
  const set = (name, d) => tell(paths[name], 'd', d);
  set('house', area(house.map((v) => v == null ? null : [0, Math.max(0, v)]), x, y));
  set('cars', area(load.map((v, n) => v == null ? null : [house[n] ?? 0, v]), x, y));
  set('export', low < 0 ? area(load.map((v) => v == null ? null : [Math.min(0, v), 0]), x, y) : '');
  set('usable', level(state.usable[i]));
  set('fuse', level(state.limit[i]));
  set('zero', low < 0 ? level(0) : '');
  const left = span.headroom_a[i];
  set('peak', state.chosen === 1 ? line(left.map((v) => (v == null ? null : state.usable[i] - v)), x, y) : '');
  say(top, wholeAmps(state.limit[i]));
  top.style.top = `${y(state.limit[i])}%`;

  const n = state.cursor == null ? null : Math.round(state.cursor * (slots - 1)) - first;
  const isInside = n != null && n >= 0 && n < house.length;
  set('cursor', isInside ? `M${x(n)} 0V${HEIGHT}` : '');
  say(then, isInside ? caption(span, i, n, state, house.length) : '');

  if (isLast) drawAxis(axis, slots, span.step_s, state);
  const most = load.reduce((most, v) => Math.max(most, v ?? 0), 0);
  tell(plot, 'aria-label', `L${i + 1} over ${NOUNS[state.chosen]}: ${amps(most)} at most, fuse ${wholeAmps(state.limit[i])}`);
}

/** Areas between pairs of values; an absent pair is a gap. */
function area(pairs, x, y) {
  let d = '';
  for (let from = 0; from < pairs.length; from++) {
    if (!pairs[from]) continue;
    let to = from;
    while (to + 1 < pairs.length && pairs[to + 1]) to++;
    let above = '';
    let below = '';
    for (let n = from; n <= to; n++) {
      above += `${n === from ? 'M' : 'L'}${x(n)} ${y(pairs[n][1])}`;
      below = `L${x(n)} ${y(pairs[n][0])}${below}`;
    }
    d += `${above}${below}Z`;
    from = to;
  }
  return d;
}

function line(values, x, y) {
  let d = '';
  values.forEach((value, n) => {
    if (value != null) d += `${values[n - 1] == null ? 'M' : 'L'}${x(n)} ${y(value)}`;
  });
  return d;
}

function caption(span, i, n, state, length) {
  const at = new Date(state.until - (length - 1 - n) * span.step_s * 1000);
  const house = span.house_a[i][n];
  const cars = span.cars_a[i][n];
  const time = clock(at, span.step_s < 60);
  if (cars == null) return `${time}  nothing heard`;
  return `${time}  house ${house == null ? '?' : number(house)}  cars ${number(cars)} A`;
}

function drawAxis(axis, slots, step, state) {
  const ticks = [];
  const length = slots * step * 1000;
  if (state.chosen === 0) {
    for (const minutes of [8, 6, 4, 2]) ticks.push([1 - minutes / 10, `\u2212${minutes} min`]);
  } else {
    const at = new Date(state.until);
    at.setMinutes(0, 0, 0);
    for (let hours = 0; hours < 24; hours++, at.setHours(at.getHours() - 1)) {
      const share = 1 - (state.until - at.getTime()) / length;
      if (at.getHours() % 6 === 0 && share > 0.04 && share < 0.96) ticks.push([share, clock(at, false)]);
    }
  }
  while (axis.children.length > ticks.length) axis.lastChild.remove();
  ticks.forEach(([share, text], k) => {
    const tick = axis.children[k] ?? axis.appendChild(make('span'));
    tick.style.left = `${share * 100}%`;
    say(tick, text);
  });
}

/** Pointer and arrow keys move one cursor over all phases. */
function listen(plot, state, redraw) {
  const move = (share) => { state.cursor = share; redraw(); };
  const clamp = (share) => Math.min(1, Math.max(0, share));
  plot.addEventListener('pointermove', (event) => {
    const box = plot.getBoundingClientRect();
    move(clamp((event.clientX - box.left) / box.width));
  });
  plot.addEventListener('pointerleave', () => move(null));
  plot.addEventListener('blur', () => move(null));
  plot.addEventListener('keydown', (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === 'Escape') move(null);
    if (!way) return;
    event.preventDefault();
    move(clamp((state.cursor ?? 1) + (way * (event.shiftKey ? 10 : 1)) / SLOTS[0]));
  });
}
