// What does the page show, and is it true now? One status by server-sent events, drawn as a whole each time.

import { drawRows, freshness, fuse, phaseRows, scale } from './bars.js';
import { carCards, drawCar, kindOf } from './cars.js';
import { charts } from './chart.js';
import { amps, make, moment, number, plug, say, span, upper, watts, wholeAmps } from './words.js';

/** Without a new picture for so long, numbers are old and look it. */
const STALE_MS = 5000;
/** Silent for so long, a stream that claims to be open is dialled again. */
const DEAD_MS = 15000;
/** Between two attempts when the browser has given up (such as after 503). */
const REDIAL_MS = 3000;
/** Minutes on the day's chart come from the gateway. */
const HISTORY_MS = 60000;

const id = (name) => document.getElementById(name);
let shown = null; // what the page's structure was built for
let last = null; // the last status
let news = 0; // when a new one came, by Date.now()
let dialled = 0;
let stream = null;

// --- the stream ---

function dial() {
  stream?.close();
  dialled = Date.now();
  stream = new EventSource('events');
  stream.addEventListener('open', () => loadHistory());
  stream.addEventListener('status', (event) => {
    const status = JSON.parse(event.data);
    if (status.at !== last?.at) news = Date.now();
    take(status);
  });
  // What was old already when it was sent is drawn, but is no news.
  stream.addEventListener('old', (event) => take(JSON.parse(event.data)));
  stream.addEventListener('error', () => showAge());
}

function watchOver() {
  const silent = Date.now() - Math.max(news, dialled);
  const hasGivenUp = stream.readyState === EventSource.CLOSED;
  if (hasGivenUp ? silent > REDIAL_MS : silent > DEAD_MS) dial();
  showAge();
}

async function loadHistory() {
  try {
    const answer = await fetch('history.json');
    if (answer.ok) shown?.charts.load(await answer.json());
  } catch {
    // The gateway is away; the next connection loads it.
  }
}

/** Old numbers never look live. */
function showAge() {
  const age = Math.abs(Date.now() - news);
  const isLive = news > 0 && age < STALE_MS;
  const isOpen = stream?.readyState === EventSource.OPEN;
  document.body.classList.toggle('stale', !isLive);
  const pill = id('live');
  if (isLive && isOpen) {
    say(pill, 'Live');
    pill.className = 'pill live';
    return;
  }
  pill.className = 'pill wait';
  say(pill, !last ? 'Connecting' : isOpen ? 'No news' : 'Reconnecting');
  if (!isLive && shown) say(id('sentence'), `No news since ${moment(last.at, Date.now())}. What you see is how it was.`);
}

// --- the picture ---

function take(status) {
  last = status;
  if (!status.circuits?.length) return;
  const key = JSON.stringify([status.phases, status.circuits.map((c) => c.id), status.evses.map((e) => e.id)]);
  if (shown?.key !== key) build(status, key);
  draw(status);
  showAge();
}

function build(status, key) {
  const phases = status.phases === 1 ? 1 : 3;
  const own = charts(phases);
  id('main-phases').replaceChildren();
  const main = phaseRows(id('main-phases'), phases, 'House', own.place);
  id('circuits').replaceChildren();
  const others = status.circuits.slice(1).map(() => {
    const name = make('h2');
    const about = make('p', 'soft');
    const rows = make('div', 'phases');
    id('circuits').append(make('section', 'card circuit', '', make('div', 'head', '', make('div', '', '', name, about)), rows));
    return { name, about, rows: phaseRows(rows, phases, 'Other') };
  });
  shown = { key, phases, charts: own, main, others, cars: carCards(id('cars'), status.evses, phases), alarms: '' };
  own.choose(Number(document.querySelector('input[name=span]:checked').value));
  for (const part of ['main', 'behind']) id(part).hidden = false;
  id('chargers').hidden = status.evses.length === 0;
  document.body.classList.remove('waiting');
  loadHistory();
}

function draw(status) {
  const [main, ...others] = status.circuits;
  document.title = `${status.name || status.site}: headroom`;
  say(id('name'), status.name || status.site);
  say(id('sentence'), sentence(status));
  drawFacts(status);
  drawAlarms(status);
  say(id('main-name'), main.name || main.id);
  say(id('main-about'), upper(`${fuse(main, shown.phases)}, ${freshness(main)}`));
  drawRows(shown.main, main);
  shown.charts.add(main, status.at);
  drawLegend(main);
  others.forEach((circuit, k) => {
    say(shown.others[k].name, circuit.name || circuit.id);
    say(shown.others[k].about, upper(`${fuse(circuit, shown.phases)}, ${freshness(circuit)}`));
    drawRows(shown.others[k].rows, circuit);
  });
  status.evses.forEach((evse, k) => drawCar(shown.cars[k], evse));
  say(id('chargers-about'), counts(status.evses));
  drawBehind(status);
}

/** The whole house in one sentence or two. */
function sentence(status) {
  const taking = status.evses.filter((evse) => Math.max(...evse.draw_a) > 0.5);
  const paused = status.evses.filter((evse) => kindOf(evse) === 'paused').length;
  const cars = taking.length === 0 ? 'No car is charging'
    : taking.length === 1 ? `${taking[0].name || taking[0].id} is charging`
    : `${taking.length} cars are charging`;
  const wait = paused === 0 ? '' : paused === 1 ? ', one is paused' : `, ${paused} are paused`;
  const main = status.circuits[0];
  if (main.freshness === 'lost') return `${cars}${wait}. The meter is lost: cars are on fallback.`;
  if (!main.headroom_a) return `${cars}${wait}. What is left is not known.`;
  const left = main.headroom_a.slice(0, shown.phases);
  const least = Math.min(...left);
  const phase = shown.phases > 1 ? `L${left.indexOf(least) + 1}` : 'the fuse';
  if (least < -0.5) return `${cars}${wait}. On ${phase} ${amps(-least)} too much, being cut.`;
  if (least < 1) return `${cars}${wait}. ${upper(phase)} is full.`;
  return `${cars}${wait}. ${amps(least)} left${shown.phases > 1 ? ` on ${phase}, the tightest phase` : ''}.`;
}

function counts(evses) {
  const words = [];
  const count = (n, word) => { if (n) words.push(`${n} ${word}`); };
  count(evses.filter((evse) => Math.max(...evse.draw_a) > 0.5).length, 'charging');
  count(evses.filter((evse) => kindOf(evse) === 'paused').length, 'paused');
  count(evses.filter((evse) => kindOf(evse) === 'free').length, 'free');
  count(evses.filter((evse) => !evse.online).length, 'not reachable');
  return words.join(', ');
}

function drawFacts(status) {
  const facts = [];
  const power = status.circuits[0].power_w;
  if (power != null) facts.push(power >= 0 ? ['grid', 'From the grid', watts(power)] : ['sun', 'To the grid', watts(-power)]);
  for (const inverter of status.inverters) {
    facts.push([inverter.power_w > 0 ? 'sun' : 'grid', inverter.name || inverter.id, inverter.power_w == null ? 'silent' : watts(inverter.power_w)]);
  }
  const list = id('facts');
  while (list.children.length > facts.length) list.lastChild.remove();
  facts.forEach(([kind, name, value], k) => {
    const item = list.children[k] ?? list.appendChild(make('li', '', '', make('span', 'soft'), make('strong', 'num')));
    item.className = kind;
    say(item.firstChild, name);
    say(item.lastChild, value);
  });
}

function drawAlarms(status) {
  const key = JSON.stringify(status.alarms);
  if (shown.alarms === key) return;
  shown.alarms = key;
  id('alarms').replaceChildren(...status.alarms.map((alarm) => {
    const word = alarm.severity === 'error' ? 'Alarm' : 'Warning';
    return make('div', `alarm ${alarm.severity === 'error' ? 'error' : 'warning'}`, '',
      make('p', '', '', make('strong', '', word), ` since ${moment(alarm.since, status.at)}`),
      make('p', 'text', upper(alarm.text)));
  }));
}

function drawLegend(main) {
  const words = [['left', 'left for cars'], ['margin', `${margins(main)} kept free`], ['fuse', 'fuse']];
  const isDay = id('span').querySelector('input[value="1"]').checked;
  if (isDay) words.push(['peak', 'highest of each minute']);
  const { low, isExporting } = scale(main, shown.phases);
  if (low < 0) words.push(['zero', 'left of it: from the sun']);
  if (isExporting) words.push(['export', 'sun to the grid']);
  const list = id('legend');
  while (list.children.length > words.length) list.lastChild.remove();
  words.forEach(([kind, text], k) => {
    const item = list.children[k] ?? list.appendChild(make('li', '', '', make('span'), make('span')));
    item.firstChild.className = `swatch ${kind}`;
    say(item.lastChild, text);
  });
}

function margins(circuit) {
  const kept = [...new Set(circuit.margin_a.slice(0, shown.phases))];
  return kept.length === 1 ? wholeAmps(kept[0]) : `${kept.map((margin) => number(margin)).join(', ')} A`;
}

function drawBehind(status) {
  const policy = status.policy;
  const rules = policy.source === 'cloud'
    ? `from the cloud${policy.version == null ? '' : `, version ${policy.version}`}, ${STATES[policy.state] ?? policy.state}`
    : `from this gateway\u2019s own file${policy.state === 'tombstone' ? ', as the cloud has taken it out of service' : ''}`;
  const age = policy.age_s == null ? '' : `, confirmed ${span(policy.age_s)} ago`;
  const rows = [['Rules', upper(rules + age)]];
  if (policy.refused) rows.push(['Newest rules refused', upper(policy.refused)]);
  for (const inverter of status.inverters.filter((inverter) => inverter.age_s != null)) rows.push([inverter.name || inverter.id, `Inverter, read ${span(inverter.age_s)} ago`]);
  rows.push(['Gateway', `headroom ${status.version}, running for ${span(status.uptime_s)}`]);
  const list = id('facts-behind');
  while (list.children.length > rows.length) list.lastChild.remove();
  rows.forEach(([name, text], k) => {
    const pair = list.children[k] ?? list.appendChild(make('div', '', '', make('dt'), make('dd', 'num')));
    say(pair.firstChild, name);
    say(pair.lastChild, text);
  });
}

const STATES = { fresh: 'up to date', stale: 'past its date', grace: 'in its days of grace', default: 'default' };

// --- begin ---

id('span').addEventListener('change', (event) => {
  shown?.charts.choose(Number(event.target.value));
  if (last) drawLegend(last.circuits[0]);
});
document.addEventListener('visibilitychange', () => { if (!document.hidden) { loadHistory(); watchOver(); } });
dial();
setInterval(watchOver, 500);
setInterval(() => { if (!document.hidden) loadHistory(); }, HISTORY_MS);
