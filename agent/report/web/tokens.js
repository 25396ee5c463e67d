// Tokens in the colour of what is known of them. Each way of colouring says which class, which value, and its legend.
const PROBABILITIES = [0.9, 0.5, 0.2, 0.05]; // least probability of each shade; the last one is for everything below
const ADVANTAGES = [0.05, 0.75, 1.5];
const GAPS = [1e-5, 1e-3, 1e-1];

const diverging = (value, bounds) => {
  const size = bounds.filter((bound) => Math.abs(value) >= bound).length;
  return size === 0 ? 'd0' : `${value > 0 ? 'u' : 'l'}${size}`;
};

const COLOURINGS = {
  reading: { name: 'Reading' },
  mask: {
    name: 'Trained or not',
    class: (token) => (token.trained ? 'm1' : token.written ? 'm2' : 'm0'),
    value: (token) => (token.trained ? 1 : 0),
    say: (token) => (token.trained ? 'trained' : token.written ? 'written by the policy, not trained' : 'read, never trained'),
    legend: [['m1', 'trained'], ['m2', 'written by the policy, not trained'], ['m0', 'read: prompt and observations']],
  },
  logprob: {
    name: 'Log-probability',
    class: (token) => `p${PROBABILITIES.filter((least) => Math.exp(token.logprob) < least).length}`,
    value: (token) => token.logprob,
    legend: [['p0', '\u2265 90%'], ['p1', '\u2265 50%'], ['p2', '\u2265 20%'], ['p3', '\u2265 5%'], ['p4', 'less likely']],
  },
  advantage: {
    name: 'Advantage',
    class: (token) => diverging(token.advantage, ADVANTAGES),
    value: (token) => token.advantage,
    legend: [['l3', '\u2264 \u22121.5'], ['l2', '\u2264 \u22120.75'], ['l1', '< 0'], ['d0', 'about 0'], ['u1', '> 0'], ['u2', '\u2265 0.75'], ['u3', '\u2265 1.5']],
  },
  gap: {
    name: 'Sampler \u2212 trainer',
    class: (token) => diverging(token.gap, GAPS),
    value: (token) => token.gap,
    legend: [['l3', '\u2264 \u22120.1'], ['l2', '\u2264 \u22120.001'], ['l1', '< 0'], ['d0', 'below 0.00001'], ['u1', '> 0'], ['u2', '\u2265 0.001'], ['u3', '\u2265 0.1']],
  },
};

// The ways of colouring that some of these trajectories have numbers for.
function colourings(wholes) {
  const parts = wholes.flatMap((each) => each.segments);
  const some = (column) => parts.some((part) => part[column] && part[column].some((value) => value !== null));
  return ['reading', ...(parts.some((part) => part.texts) ? ['mask'] : []), ...(some('logprobs') ? ['logprob'] : []),
    ...(some('advantages') || (wholes.some((each) => typeof each.advantage === 'number') && some('ids')) ? ['advantage'] : []),
    ...(some('gaps') ? ['gap'] : [])];
}

// What is known of the i-th token of a segment.
function tokenAt(part, full, i) {
  const at = (column) => (part[column] && typeof part[column][i] === 'number' ? part[column][i] : null);
  const written = part.kind === 'action';
  const own = at('advantages');
  return {
    id: part.ids[i], written, trained: written && part.trained && full.untrained === '',
    logprob: at('logprobs'), gap: at('gaps'),
    advantage: own !== null ? own : written && typeof full.advantage === 'number' ? full.advantage : null,
  };
}

function tokenSaid(token) {
  const said = [`id ${token.id}`, COLOURINGS.mask.say(token)];
  if (token.logprob !== null) {
    const chance = 100 * Math.exp(Math.min(0, token.logprob));
    said.push(`log-probability ${figure(token.logprob)} (${figure(chance, 3)}%)`);
  }
  if (token.advantage !== null) said.push(`advantage ${figure(token.advantage)}`);
  if (token.gap !== null) said.push(`trainer ${figure(token.logprob - token.gap)}, gap ${figure(token.gap)}`);
  return said.join('  \u00b7  ');
}

function tokenElement(part, full, i, how, numbered) {
  const text = part.texts[i];
  if (typeof text === 'object' && 'cut' in text) return h('span', { class: 'cut' }, `\u2026 ${count(text.cut, 'token')} not shown \u2026`);
  if (typeof text === 'object' && 'image' in text) return h('span', { class: 'image' }, `${text.image}: ${text.size}`);
  const token = tokenAt(part, full, i);
  const said = typeof text === 'object' ? [text.text, h('sup', {}, text.piece)] : visibleToken(text);
  const value = how.value(token);
  const known = value !== null && value !== undefined;
  const shown = numbered && known && token.written ? h('i', {}, figure(value, 2)) : null;
  const element = h('span', { class: `t ${known ? how.class(token) : token.written ? 'given' : 'm0'}` }, said, shown);
  told.set(element, token);
  return typeof text === 'string' && text.includes('\n') && !shown ? [element, document.createElement('br')] : element;
}

// A token that is nothing but space has to be seen; line ends keep the shape of the text.
function visibleToken(text) {
  const lines = text.replaceAll('\n', '\u23ce');
  return /^[ \t]+$/.test(text) ? text.replaceAll(' ', '\u2423').replaceAll('\t', '\u21e5') : lines;
}

const told = new WeakMap();

function tokensOf(part, full, name, numbered) {
  const how = COLOURINGS[name];
  return h('p', { class: `tokens${numbered ? ' numbered' : ''}` }, part.texts.map((_, i) => tokenElement(part, full, i, how, numbered)));
}

function legendOf(name) {
  const how = COLOURINGS[name];
  if (!how.legend) return null;
  return h('ul', { class: 'legend', 'aria-label': `Colours: ${how.name}` },
    how.legend.map(([style, text]) => h('li', {}, h('span', { class: `t ${style}`, 'aria-hidden': 'true' }, 'Aa'), ' ', text)));
}
