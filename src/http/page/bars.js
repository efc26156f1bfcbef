// What does each phase carry now? A bar: house, cars, what is left, the distance kept, the fuse.

import { amps, make, number, say, span, tell, wholeAmps } from './words.js';

/** The phase rows of one circuit inside `place`. `rest` names what is not ours; `extra` may put something beside each bar. */
export function phaseRows(place, phases, rest, extra = () => null) {
  const rows = [];
  for (let i = 0; i < phases; i++) {
    const bar = make('div', 'bar');
    bar.setAttribute('role', 'img');
    const parts = {};
    for (const part of ['track', 'margin', 'house', 'cars', 'export', 'over', 'zero', 'fuse']) {
      parts[part] = make('span', part);
      bar.append(parts[part]);
    }
    const left = make('p', 'left');
    const house = make('span', 'num');
    const cars = make('span', 'num');
    const houseKey = make('span', 'key house', `${rest} `, house);
    const split = make('p', 'split soft', '', houseKey, make('span', 'key cars', 'Cars ', cars));
    const now = make('div', 'now', '', make('div', 'line', '', make('h3', '', `L${i + 1}`), left), bar, split);
    const row = make('div', 'phase', '', now);
    const beside = extra(i);
    if (beside) row.append(beside);
    place.append(row);
    rows.push({ bar, parts, left, house, houseKey, cars });
  }
  return rows;
}

/** Where the scale of a circuit's bars begins and ends, in amperes. */
export function scale(circuit, phases) {
  let low = 0;
  let high = 1;
  let isExporting = false;
  for (let i = 0; i < phases; i++) {
    const house = circuit.house_a?.[i] ?? 0;
    isExporting ||= house + circuit.cars_a[i] < 0;
    low = Math.min(low, house, house + circuit.cars_a[i]);
    high = Math.max(high, circuit.limit_a[i], house + circuit.cars_a[i]);
  }
  return { low: low < 0 ? Math.floor(low / 4) * 4 : 0, high: high * 1.02, isExporting };
}

export function drawRows(rows, circuit) {
  const { low, high } = scale(circuit, rows.length);
  const at = (value) => (100 * (Math.min(Math.max(value, low), high) - low)) / (high - low);
  rows.forEach((row, i) => {
    const house = circuit.house_a ? circuit.house_a[i] : null;
    const cars = circuit.cars_a[i];
    const limit = circuit.limit_a[i];
    const usable = limit - circuit.margin_a[i];
    const left = circuit.headroom_a ? circuit.headroom_a[i] : null;
    const load = (house ?? 0) + cars;
    const set = (part, from, to) => {
      const style = row.parts[part].style;
      style.left = `${at(from)}%`;
      style.width = `${Math.max(0, at(to) - at(from))}%`;
    };
    set('track', low, usable);
    set('margin', usable, limit);
    set('house', 0, Math.max(0, house ?? 0));
    set('cars', house ?? 0, load);
    set('export', Math.min(0, load), 0);
    set('over', usable, Math.max(usable, load));
    row.parts.zero.style.left = `${at(0)}%`;
    row.parts.zero.hidden = low === 0;
    row.parts.fuse.style.left = `${at(limit)}%`;
    row.bar.classList.toggle('unknown', house == null);

    say(row.house, amps(house));
    say(row.cars, amps(cars));
    row.houseKey.classList.toggle('sun', (house ?? 0) < 0);
    const words = left == null ? 'not known' : left < -0.05 ? `${amps(-left)} too much` : `${amps(left)} left`;
    say(row.left, words);
    row.left.className = `left num${left == null ? ' unknown' : left < -0.05 ? ' bad' : left < 1 ? ' full' : ''}`;
    tell(row.bar, 'aria-label', `House ${amps(house)}, cars ${amps(cars)}, ${words}, fuse ${wholeAmps(limit)}`);
  });
}

/** The fuse in words: one number where the phases agree. */
export function fuse(circuit, phases) {
  const limits = circuit.limit_a.slice(0, phases);
  if (limits.every((limit) => limit === limits[0])) {
    return phases > 1 ? `${wholeAmps(limits[0])} fuse on each phase` : `${wholeAmps(limits[0])} fuse`;
  }
  return `Fuses ${limits.map((limit) => number(limit, 0)).join(', ')} A`;
}

export function freshness(circuit) {
  const amount = circuit.age_s == null ? 'some time' : `${number(circuit.age_s)} s`;
  switch (circuit.freshness) {
    case 'fresh': return `meter fresh, read ${amount} ago`;
    case 'stale': return `meter late, read ${amount} ago: no raises`;
    case 'lost': return circuit.age_s == null ? 'meter not heard yet: fallback' : `meter lost, read ${span(circuit.age_s)} ago: fallback`;
    default: return 'no meter';
  }
}
