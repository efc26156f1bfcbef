// What does each car get, and why? One card a charger.

import { make, number, plug, say, span, tell, upper, wholeAmps } from './words.js';

/** What holds without the gateway. */
const ALONE = 'If we go silent';

/** What is told of a mode; whoever charges fast chose none. */
const MODES = { eco: 'Eco: the least, and more from the sun', solar: 'Solar: from the sun only', off: 'Off' };

export function carCards(place, evses, phases) {
  place.replaceChildren();
  return evses.map(() => carCard(place, phases));
}

function carCard(place, phases) {
  const card = {
    name: make('h3'), chip: make('p', 'chip'), big: make('p', 'big num'), why: make('p', 'why'),
    draws: [], rows: {},
  };
  const draws = make('div', 'draws');
  for (let i = 0; i < phases; i++) {
    const fill = make('span', 'fill');
    const text = make('span', 'num');
    draws.append(make('div', 'draw', '', make('span', 'soft', `L${i + 1}`), make('span', 'rail', '', fill), text));
    card.draws.push({ fill, text });
  }
  card.takes = make('p', 'soft takes');
  const list = make('dl', 'rows');
  for (const row of ['Who', 'Mode', 'Session', ALONE]) {
    const text = make('dd', 'num');
    const pair = make('div', '', '', make('dt', '', row), text);
    list.append(pair);
    card.rows[row] = { pair, text };
  }
  card.all = make('article', 'card car', '',
    make('div', 'head', '', card.name, card.chip),
    make('div', 'gist', '', card.big, card.why),
    make('div', '', '', card.takes, draws), list);
  card.block = draws.parentElement;
  place.append(card.all);
  return card;
}

export function drawCar(card, evse) {
  const kind = kindOf(evse);
  card.all.dataset.kind = kind;
  say(card.name, evse.name || evse.id);
  say(card.chip, { away: 'Not reachable', fallback: 'Fallback' }[kind] ?? plug(evse.plug));
  card.chip.className = `chip ${kind}`;
  say(card.big, { free: 'Free', paused: 'Paused' }[kind] ?? wholeAmps(evse.setpoint_a));
  say(card.why, upper(evse.words));
  tell(card.why, 'data-reason', evse.reason);

  const takes = evse.draw_a.slice(0, card.draws.length);
  const most = Math.max(evse.setpoint_a, 6, ...takes);
  card.block.hidden = kind === 'free';
  say(card.takes, evse.is_measured ? 'Takes, as the charger measures it' : 'Takes, as assumed');
  card.draws.forEach(({ fill, text }, i) => {
    fill.style.width = `${Math.max(0, (100 * takes[i]) / most)}%`;
    say(text, `${number(takes[i])} A`);
  });

  const hasSession = evse.session_s != null;
  const who = [evse.alias, evse.class].filter(Boolean);
  if (who.length && evse.priority) who.push(`priority ${number(evse.priority, 0)}`);
  show(card.rows.Who, who.join(', '));
  show(card.rows.Mode, kind === 'free' ? '' : MODES[evse.mode]);
  const energy = evse.session_kwh == null ? '' : `${number(evse.session_kwh)} kWh in `;
  show(card.rows.Session, hasSession ? energy + span(evse.session_s) : '');
  const alone = evse.fallback_a > 0 ? wholeAmps(evse.fallback_a) : 'a pause';
  show(card.rows[ALONE], evse.lease_s == null ? alone : `${alone} after ${span(evse.lease_s)}`);
}

/** Which of six looks a card has. */
export function kindOf(evse) {
  if (!evse.online) return 'away';
  if (['faulted', 'unavailable'].includes(evse.plug)) return 'broken';
  if (evse.plug === 'available') return 'free';
  // Nobody may take a fallback for a share that was worked out.
  if (['meter_lost', 'meter_wiring', 'breach', 'unreachable'].includes(evse.reason)) return 'fallback';
  return evse.setpoint_a > 0 ? 'given' : 'paused';
}

function show({ pair, text }, words) {
  pair.hidden = !words;
  say(text, words);
}
