// Curves of a run. All of them share one crosshair, and their legends say the values under it.
const SPARSE = 60; // a series of fewer points shows each of them
const DENSE = 120; // one of more is drawn twice: faintly as it is, and its mean over a twentieth of the run
const CHARTS = [
  { title: 'Score', keys: ['reward', 'validation'], large: true, levels: true, unit: true },
  { title: 'Reward terms', prefix: 'reward/' },
  { title: 'How episodes end', keys: ['end/terminated', 'end/truncated', 'end/failed', 'stop/length'], unit: true },
  { title: 'Loss', keys: ['loss', 'value/loss', 'critic/loss', 'loss/value'] },
  { title: 'Entropy', keys: ['entropy'] },
  { title: 'Sampler and trainer, apart', keys: ['gap/largest', 'gap/mean'], log: true },
  { title: 'Lengths, in tokens', keys: ['turn_tokens', 'episode_tokens', 'longest_turn'] },
  { title: 'Dropped', prefix: 'failed' },
  { title: 'Groups', keys: ['group_deviation', 'zero_variance_groups'] },
  { title: 'Divergence and clipping', keys: ['kl/old', 'kl/reference', 'clip_fraction'] },
  { title: 'Norm of the gradient', prefix: 'grad_norm' },
  { title: 'Seconds of a step', prefix: 'seconds/' },
];
let redrawings = [];
let hovered = null;

function chartsOf(series) {
  const names = Object.keys(series.values);
  const used = new Set();
  const found = CHARTS.map((chart) => {
    const keys = chart.keys ? chart.keys.filter((key) => key in series.values)
      : names.filter((name) => name.startsWith(chart.prefix) && !used.has(name));
    keys.forEach((key) => used.add(key));
    return { ...chart, keys };
  }).filter((chart) => chart.keys.length);
  const rest = new Map();
  for (const name of names.filter((each) => !used.has(each))) {
    const title = name.includes('/') ? name.slice(0, name.indexOf('/')) : name;
    rest.set(title, [...(rest.get(title) || []), name]);
  }
  return { main: found, rest: [...rest].map(([title, keys]) => ({ title: title.replaceAll('_', ' '), keys })) };
}

function lineOf(key, style, values) {
  const known = values.filter((value) => value !== null).length;
  return { key, style, values, smooth: known > DENSE ? smoothed(values) : null, few: known < SPARSE };
}

function smoothed(values) {
  const half = Math.floor(values.length / 40);
  return values.map((_, i) => {
    const near = values.slice(Math.max(0, i - half), i + half + 1).filter((value) => value !== null);
    return near.length ? near.reduce((sum, value) => sum + value, 0) / near.length : null;
  });
}

function ticks(low, high, wanted) {
  const raw = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i <= Math.floor(high / step + 1e-9); i += 1) found.push(Number((i * step).toPrecision(12)));
  return found;
}

function scaleOf(chart, lines) {
  const values = lines.flatMap((line) => line.values).concat(chart.levels ? chart.levels.map(([, value]) => value) : []).filter((value) => value !== null);
  if (chart.log && values.some((value) => value > 0)) {
    const positive = values.filter((value) => value > 0).map(Math.log10);
    const low = Math.floor(Math.min(...positive));
    const high = Math.max(low + 1, Math.ceil(Math.max(...positive)));
    const every = Math.max(1, Math.ceil((high - low) / 4));
    const marks = [];
    for (let power = low; power <= high; power += every) marks.push([power, `1e${power}`.replace('-', '\u2212')]);
    return { low, high, at: (value) => (value > 0 ? Math.log10(value) : null), marks };
  }
  let low = values.reduce((least, value) => Math.min(least, value), Infinity);
  let high = values.reduce((most, value) => Math.max(most, value), -Infinity);
  if (chart.unit && low >= 0 && high <= 1) { low = 0; high = 1; }
  if (low === 0 && high === 0) high = 1;
  if (low === high) { low -= Math.abs(low) / 2 || 0.5; high += Math.abs(high) / 2 || 0.5; }
  if (low > 0 && low < high / 3) low = 0;
  const marks = ticks(low, high, chart.large ? 5 : 3);
  const step = marks.length > 1 ? marks[1] - marks[0] : high - low;
  low = Math.min(low, Math.floor(low / step + 1e-9) * step);
  high = Math.max(high, Math.ceil(high / step - 1e-9) * step);
  return { low, high, at: (value) => value, marks: ticks(low, high, chart.large ? 5 : 3).map((value) => [value, figure(value, 3)]) };
}

function chartElement(chart, series) {
  const lines = chart.keys.map((key, i) => lineOf(key, i % 8, series.values[key]));
  const holder = h('div', { class: 'plot' });
  const readings = lines.map((line) => h('b', {}));
  const where = h('span', { class: 'at' });
  const legend = h('ul', { class: 'lines' }, lines.map((line, i) => h('li', {}, key(line.style), h('span', {}, line.key.replace(/^(reward|seconds|memory)\//, '')), ' ', readings[i])),
    (chart.levels || []).map(([name, value], i) => h('li', {}, svg('svg', { class: 'key', viewBox: '0 0 18 8', 'aria-hidden': 'true' }, svg('path', { class: `level l${i}`, d: 'M0 4H18' })), h('span', {}, name), ' ', h('b', {}, figure(value, 3)))));
  const draw = () => drawChart(holder, chart, lines, series, { readings, where });
  redrawings.push(draw);
  return h('figure', { class: `chart${chart.large ? ' large' : ''}` }, h('figcaption', {}, h('h4', {}, chart.title), where), holder, legend);
}

const key = (style) => svg('svg', { class: 'key', viewBox: '0 0 18 8', 'aria-hidden': 'true' }, svg('path', { class: `line s${style}`, d: 'M0 4H18' }));

function drawChart(holder, chart, lines, series, told) {
  const width = Math.max(220, holder.clientWidth);
  const height = chart.large ? Math.min(300, Math.max(220, width * 0.4)) : 132;
  const [left, right, top, bottom] = [46, 10, 8, 22];
  const steps = series.steps;
  const scale = scaleOf(chart, lines);
  const [first, last] = [steps[0], steps[steps.length - 1]];
  const x = (step) => left + (first === last ? 0.5 : (step - first) / (last - first)) * (width - left - right);
  const y = (value) => height - bottom - ((value - scale.low) / (scale.high - scale.low)) * (height - top - bottom);
  const path = (values) => {
    let text = '';
    values.forEach((value, i) => {
      const at = value === null ? null : scale.at(value);
      if (at !== null) text += `${text ? 'L' : 'M'}${x(steps[i]).toFixed(1)} ${y(at).toFixed(1)}`;
    });
    return text;
  };
  const grid = scale.marks.map(([value, text]) => [svg('path', { class: 'grid', d: `M${left} ${y(value)}H${width - right}` }),
    svg('text', { class: 'mark', x: left - 7, y: y(value) + 4, 'text-anchor': 'end' }, text)]);
  const below = (first === last ? [first] : ticks(first, last, Math.min(8, Math.floor(width / 90))).filter(Number.isInteger)).map((step) =>
    svg('text', { class: 'mark', x: x(step), y: height - 6, 'text-anchor': 'middle' }, step.toLocaleString('en')));
  const levels = (chart.levels || []).map(([, value], i) => svg('path', { class: `level l${i}`, d: `M${left} ${y(value)}H${width - right}` }));
  const drawn = lines.map((line) => {
    const dots = line.few ? line.values.map((value, i) => (value === null || scale.at(value) === null ? null
      : svg('circle', { class: `dot s${line.style}`, cx: x(steps[i]), cy: y(scale.at(value)), r: 2.4 }))) : [];
    return [svg('path', { class: `line s${line.style}${line.smooth ? ' raw' : ''}`, d: path(line.values) }),
      line.smooth ? svg('path', { class: `line s${line.style}`, d: path(line.smooth) }) : null, dots.filter(Boolean)];
  });
  const cross = svg('path', { class: 'cross', d: '' });
  const drawing = svg('svg', {
    width, height, viewBox: `0 0 ${width} ${height}`, tabindex: '0', role: 'slider', 'aria-label': `${chart.title}: training step`,
    'aria-valuemin': first, 'aria-valuemax': last, 'aria-valuenow': last,
    on: {
      pointermove: (event) => {
        const at = first + ((event.clientX - drawing.getBoundingClientRect().left - left) / (width - left - right)) * (last - first);
        hover(nearest(steps, at));
      },
      pointerleave: () => hover(null),
      blur: () => hover(null),
      keydown: (event) => {
        const by = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10 }[event.key];
        if (!by) return;
        event.preventDefault();
        event.stopPropagation();
        hover(Math.max(0, Math.min(steps.length - 1, (hovered === null ? steps.length - 1 : hovered) + by)));
      },
    },
  }, grid, below, levels, drawn, cross);
  holder.replaceChildren(drawing);
  const tell = (i) => {
    const valued = lines.map((line) => (i === null ? line.values.findLast((value) => value !== null) : line.values[i]));
    valued.forEach((value, n) => { told.readings[n].textContent = value === null || value === undefined ? '\u2013' : figure(value); });
    told.where.textContent = i === null ? '' : `step ${steps[i].toLocaleString('en')}`;
    cross.setAttribute('d', i === null ? '' : `M${x(steps[i])} ${top}V${height - bottom}`);
    drawing.setAttribute('aria-valuenow', i === null ? last : steps[i]);
    drawing.setAttribute('aria-valuetext', `step ${i === null ? last : steps[i]}: ${lines.map((line, n) => `${line.key} ${told.readings[n].textContent}`).join(', ')}`);
  };
  holder.tell = tell;
  tell(hovered);
}

const nearest = (steps, at) => steps.reduce((best, step, i) => (Math.abs(step - at) < Math.abs(steps[best] - at) ? i : best), 0);

function hover(i) {
  hovered = i;
  for (const plot of document.querySelectorAll('.plot')) if (plot.tell) plot.tell(i);
}

function curves(folder) {
  redrawings = [];
  hovered = null;
  const { series } = folder;
  if (!series.steps.length || !Object.keys(series.values).length) return null;
  const { main, rest } = chartsOf(series);
  const made = (chart) => chartElement(chart.levels ? { ...chart, levels: folder.levels } : chart, series);
  const more = h('details', { class: 'more', on: { toggle: redraw } }, h('summary', {}, `Other metrics (${rest.length})`), h('div', { class: 'charts' }, rest.map(made)));
  return h('section', { 'aria-labelledby': 'curves' },
    h('h2', { id: 'curves' }, 'Curves'),
    h('p', { class: 'soft' }, folder.words, series.steps.length > DENSE ? ' Faint lines are single steps, strong ones their mean over a twentieth of the run.' : '', series.every > 1 ? ` Each point is the mean of ${series.every} steps.` : ''),
    h('div', { class: 'charts' }, main.map(made)), rest.length ? more : null);
}

function redraw() {
  for (const draw of redrawings) draw();
}
