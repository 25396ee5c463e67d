// Elements from data. Texts are set as text, never parsed: nothing in this page uses innerHTML.
const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === 'on') for (const [event, action] of Object.entries(value)) element.addEventListener(event, action);
    else if (name === 'style') for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(4).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

function replace(element, ...children) {
  element.replaceChildren(...children.flat(4).filter((child) => child !== null && child !== undefined && child !== false));
}

// Numbers as a reader wants them: four figures, a real minus, no noise.
function figure(value, digits = 4) {
  if (typeof value !== 'number') return value === null || value === undefined ? '' : String(value);
  const size = Math.abs(value);
  let text;
  if (value === 0) text = '0';
  else if (Number.isInteger(value) && size < 1e9) text = value.toLocaleString('en');
  else if (size < 1e-3 || size >= 1e6) text = value.toExponential(Math.min(2, digits - 1));
  else text = size >= 1000 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(digits)));
  return text.replaceAll('-', '\u2212');
}

const signed = (value) => (value > 0 ? '+' : '') + value.toFixed(2).replace('-', '\u2212');
const count = (number, one, many = `${one}s`) => `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
