// A segment: its pictures, and its text to read or its tokens in colour.
const TAG = /<(think|search|code|problem|answer|tool_call|python|information|result)>([\s\S]*?)(?:<\/\1>|$)/g;
const SAID = {
  think: 'Thought', search: 'Search', code: 'Program', python: 'Program', problem: 'Problem', answer: 'Answer', tool_call: 'Tool call',
  information: 'Information', result: 'Result',
};
const FIRST_PICTURES = 24;

// The text of a segment, without what is only there for the tokenizer: placeholders of a picture are one mark.
function textOf(part) {
  if (part.text !== undefined) return part.text;
  return (part.texts || []).map((text) => {
    if (typeof text === 'string') return text;
    if ('image' in text) return `[${text.image}]`;
    return 'cut' in text ? `\n\u2026 ${count(text.cut, 'token')} not shown \u2026\n` : text.text;
  }).join('');
}

// Text in which the model's own control tokens step back.
function quoted(text) {
  return text.split(/(<\|[a-z_]{1,40}\|>|\[image \d+\])/).map((piece, i) => (i % 2 ? h('span', { class: 'control' }, piece) : piece));
}

// What the policy wrote, by its tags: thoughts, what it asked of tools, its answer.
function actionText(text) {
  const blocks = [];
  let end = 0;
  for (const match of text.matchAll(TAG)) {
    if (text.slice(end, match.index).trim()) blocks.push(h('div', { class: 'said' }, quoted(text.slice(end, match.index).trim())));
    const name = match[1];
    blocks.push(h('div', { class: `block ${name}` }, h('span', { class: 'tag' }, SAID[name]),
      h('div', { class: `said${['code', 'python', 'tool_call'].includes(name) ? ' mono' : ''}` }, match[2].replace(/^\n|\n$/g, ''))));
    end = match.index + match[0].length;
  }
  const rest = text.slice(end).trim();
  if (rest || !blocks.length) blocks.push(h('div', { class: 'said' }, rest ? quoted(rest) : h('span', { class: 'soft' }, 'nothing')));
  return blocks;
}

function pictureElement(full, number) {
  const [block, note, width, height, tiny] = full.pictures[number - 1];
  const image = block === null ? null : h('img', {
    src: pictureOf(block), width, height, alt: `image ${number} of this episode`, class: tiny ? 'tiny' : null,
  });
  return h('figure', {}, image, h('figcaption', {}, `image ${number}: ${note}`));
}

function picturesOf(full, part) {
  if (!part.new.length) return null;
  const holder = h('div', { class: 'pictures' }, part.new.slice(0, FIRST_PICTURES).map((number) => pictureElement(full, number)));
  const rest = part.new.slice(FIRST_PICTURES);
  if (rest.length) {
    const more = h('button', { type: 'button', class: 'quiet', on: { click: () => {
      more.replaceWith(...rest.map((number) => pictureElement(full, number)));
    } } }, `Show ${count(rest.length, 'more picture')}`);
    holder.append(more);
  }
  return holder;
}

function titleOf(part, before) {
  if (part.kind === 'action') return 'Policy';
  if (part.kind === 'prompt') return part.begins ? 'Prompt, rebuilt' : 'Prompt';
  if (part.kind !== 'observation') return 'Segment';
  const tools = before ? [...textOf(before).matchAll(TAG)].map((match) => match[1]) : [];
  const tool = tools.reverse().find((name) => ['search', 'code', 'python', 'tool_call'].includes(name));
  return tool ? `Tool output (${SAID[tool].toLowerCase()})` : 'Environment';
}

function segmentElement(full, part, before, show, numbered) {
  const facts = [part.turn === null ? null : `turn ${part.turn}`, part.count ? count(part.count, 'token') : null,
    part.begins ? `context ${part.begins} begins` : null, part.reward === null ? null : `reward ${figure(part.reward)}`,
    part.logprobs ? `log-probability ${figure(part.logprobs.reduce((sum, each) => sum + (each || 0), 0))}` : null,
    part.sampled.length ? part.sampled[0] : null];
  const coloured = show !== 'reading' && part.texts;
  const text = coloured ? tokensOf(part, full, show, numbered)
    : part.kind === 'action' ? actionText(textOf(part)) : h('div', { class: 'said mono' }, quoted(textOf(part)));
  return h('section', { class: `segment ${part.kind}` },
    h('header', {}, h('h3', {}, titleOf(part, before)), h('p', { class: 'facts' }, facts.filter(Boolean).join(' \u00b7 '))),
    h('div', { class: 'body' }, picturesOf(full, part), h('div', { class: 'words' }, text)),
    part.sampled.length > 1 ? h('details', { class: 'how' }, h('summary', {}, 'sampled with'), h('p', {}, part.sampled.slice(1).join(' \u00b7 '))) : null);
}
