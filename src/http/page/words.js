// How do numbers read? Amperes, watts, spans and moments for people.

const MINUS = '\u2212';
/** A number and its unit stay on one line. */
const NBSP = '\u00a0';

/** A number with so many decimals and a real minus sign; never "−0.0". */
export function number(value, decimals = 1) {
  const text = Math.abs(value).toFixed(decimals);
  return value < 0 && Number(text) !== 0 ? MINUS + text : text;
}

export const amps = (value) => (value == null ? '?' : `${number(value)}${NBSP}A`);

/** Setpoints and fuses are whole as a rule. */
export const wholeAmps = (value) => `${number(value, Number.isInteger(value) ? 0 : 1)}${NBSP}A`;

export function watts(value) {
  const size = Math.abs(value);
  return size < 1000 ? `${number(value, 0)}${NBSP}W` : `${number(value / 1000, size < 10000 ? 2 : 1)}${NBSP}kW`;
}

/** Seconds as "45 s", "12 min", "1 h 5 min", "3 d 4 h". */
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return unit(s, 's');
  const minutes = Math.round(s / 60);
  if (minutes < 60) return unit(minutes, 'min');
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${unit(hours, 'h')} ${unit(minutes % 60, 'min')}` : unit(hours, 'h');
  return `${unit(Math.floor(hours / 24), 'd')} ${unit(hours % 24, 'h')}`;
}

const unit = (count, name) => `${count}${NBSP}${name}`;

/** A moment as the wall clock shows it, with the day where it is not today. */
export function moment(text, now) {
  const at = new Date(text);
  const time = clock(at, false);
  if (at.toDateString() === new Date(now).toDateString()) return time;
  return `${at.toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric', month: 'short' })}, ${time}`;
}

export function clock(at, withSeconds) {
  const two = (n) => String(n).padStart(2, '0');
  const base = `${two(at.getHours())}:${two(at.getMinutes())}`;
  return withSeconds ? `${base}:${two(at.getSeconds())}` : base;
}

const PLUGS = {
  charging: 'Charging',
  available: 'Free',
  preparing: 'Plugged in',
  suspended_ev: 'Car rests',
  suspended_evse: 'Paused',
  finishing: 'Finished',
  faulted: 'Out of order',
  unavailable: 'Out of service',
  unknown: 'Not heard yet',
};

export const plug = (word) => PLUGS[word] ?? word.replaceAll('_', ' ');

export const upper = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// --- building the page: text is only ever set as text ---

/** An element with a class, a text and children. */
export function make(tag, className = '', text = '', ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  element.append(...children);
  return element;
}

/** Sets a text where it differs, so that nothing is drawn or read out anew. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function tell(element, attribute, text) {
  if (element.getAttribute(attribute) !== text) element.setAttribute(attribute, text);
}
