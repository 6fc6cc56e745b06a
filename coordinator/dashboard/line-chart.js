// A small line chart in SVG: lines with the range of the points that they average, lines of reference, and the values
// under the pointer. Drawn at the size that it has on the page, so that text keeps its size.

import { find, make, makeSvg, setText } from './dom.js'
import { binPoints } from './metric-history.js'

/** @typedef {import('./metric-history.js').Bin} Bin */
/** @typedef {import('./metric-history.js').Points} Points */
/** @typedef {{ id: string, label: string, points: Points, dots?: boolean }} Series `id` chooses the colour; dots for few, single measurements */
/**
 * @typedef {object} Drawing
 * @property {Series[]} series
 * @property {{ value: number, label: string }} [reference] horizontal line
 * @property {{ x: number, label: string } | null} [mark] vertical line
 */

const HEIGHT = 170
const MARGIN = { top: 12, right: 12, bottom: 22, left: 46 }
/** Pixels per averaged point: fine enough to see a bend, coarse enough to calm the noise of single tasks. */
const PIXELS_PER_BIN = 4
const X_TICKS = 4
const Y_TICKS = 4
/** More single measurements than this are drawn as a line like any other. */
const MAX_DOTS = 60
/** Part of the range left free above and below. */
const Y_PADDING = 0.06

/**
 * @param {object} options
 * @param {string} options.id
 * @param {string} options.title
 * @param {(y: number) => string} options.format a single value
 * @param {number} [options.tickFactor] what the labels of the axis multiply values with
 * @param {string} [options.tickUnit]
 */
export function createLineChart({ id, title, format, tickFactor = 1, tickUnit = '' }) {
  const description = makeSvg('desc', { id: `chart-${id}-desc` })
  const svg = makeSvg('svg', { role: 'img', 'aria-labelledby': `chart-${id}-name chart-${id}-desc`, height: HEIGHT })
  const legend = make('p', { class: 'legend' })
  const tip = make('div', { class: 'tip', hidden: '' })
  // Lies above the drawing: a browser would show the drawing's title as a tooltip of its own.
  const touch = make('div', { class: 'touch', 'aria-hidden': 'true' }, tip)
  const element = make('figure', { class: 'card chart', id: `chart-${id}` })
  element.append(make('figcaption', {}, make('h2', {}, title), legend), make('div', { class: 'plot' }, svg, touch))

  /** @type {Drawing} */
  let drawing = { series: [] }
  /** @type {{ bins: Map<Series, Bin[]>, toX: (x: number) => number, fromX: (pixel: number) => number } | null} */
  let drawn = null
  /** Where the pointer is, so that its values stay when new ones arrive. @type {number | null} */
  let pointerX = null

  function draw() {
    const width = Math.floor(touch.clientWidth)
    if (width === 0) return
    const bottom = HEIGHT - MARGIN.bottom
    const right = width - MARGIN.right
    const hasDots = (/** @type {Series} */ { dots, points }) => points.x.length === 1 || (dots === true && points.x.length <= MAX_DOTS)
    const bins = new Map(
      drawing.series.map((series) => [series, binPoints(series.points, Math.max(MAX_DOTS, Math.floor(width / PIXELS_PER_BIN)))]),
    )
    const all = [...bins.values()].flat()
    svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`)
    svg.setAttribute('width', String(width))
    setText(description, describe(drawing, format))
    // SVG's own title, for tools that read the file and not the page.
    const parts = [makeSvg('title', { id: `chart-${id}-name` }, title), description]
    if (all.length === 0) {
      parts.push(makeSvg('text', { class: 'empty', x: width / 2, y: HEIGHT / 2, 'text-anchor': 'middle' }, 'nothing yet'))
      svg.replaceChildren(...parts)
      drawn = null
      return
    }

    const xEnd = Math.max(1, ...all.map((bin) => bin.x))
    const values = all.map((bin) => bin.y)
    if (drawing.reference) values.push(drawing.reference.value)
    const range = widen(
      values.reduce((a, b) => Math.min(a, b)),
      values.reduce((a, b) => Math.max(a, b)),
    )
    const toX = (/** @type {number} */ x) => MARGIN.left + (x / xEnd) * (right - MARGIN.left)
    const toY = (/** @type {number} */ y) => bottom - ((y - range.low) / (range.high - range.low)) * (bottom - MARGIN.top)

    const ticks = niceTicks(range.low * tickFactor, range.high * tickFactor, Y_TICKS)
    const decimals = Math.max(...ticks.map((tick) => String(tick).split('.')[1]?.length ?? 0))
    for (const tick of ticks) {
      const y = tick / tickFactor
      parts.push(makeSvg('line', { class: 'rule', x1: MARGIN.left, x2: right, y1: toY(y), y2: toY(y) }))
      parts.push(
        makeSvg('text', { class: 'tick', x: MARGIN.left - 6, y: toY(y) + 3.5, 'text-anchor': 'end' }, tick.toFixed(decimals) + tickUnit),
      )
    }
    for (const x of niceTicks(0, xEnd, X_TICKS)) {
      const anchor = x === 0 ? 'start' : toX(x) > right - 14 ? 'end' : 'middle'
      parts.push(makeSvg('text', { class: 'tick', x: toX(x), y: HEIGHT - 6, 'text-anchor': anchor }, stepTick(x)))
    }
    if (drawing.mark && drawing.mark.x < xEnd) {
      const x = toX(drawing.mark.x)
      parts.push(makeSvg('line', { class: 'mark', x1: x, x2: x, y1: MARGIN.top, y2: bottom }))
    }
    const inside = makeSvg('svg', {
      x: MARGIN.left,
      y: 0,
      width: right - MARGIN.left + 4,
      height: bottom + 2,
      viewBox: `${MARGIN.left} 0 ${right - MARGIN.left + 4} ${bottom + 2}`,
    })
    for (const [series, points] of bins) {
      const at = points.map((bin) => `${toX(bin.x).toFixed(1)},${toY(bin.y).toFixed(1)}`)
      if (points.some((bin) => bin.high > bin.low)) {
        const upper = points.map((bin) => `${toX(bin.x).toFixed(1)},${toY(bin.high).toFixed(1)}`)
        const lower = points.map((bin) => `${toX(bin.x).toFixed(1)},${toY(bin.low).toFixed(1)}`).toReversed()
        inside.append(makeSvg('polygon', { class: `band ${series.id}`, points: [...upper, ...lower].join(' ') }))
      }
      inside.append(makeSvg('polyline', { class: `line ${series.id}`, points: at.join(' ') }))
      if (hasDots(series))
        inside.append(...points.map((bin) => makeSvg('circle', { class: `dot ${series.id}`, cx: toX(bin.x), cy: toY(bin.y), r: 2.8 })))
    }
    parts.push(inside)
    if (drawing.reference) {
      const y = toY(drawing.reference.value)
      parts.push(
        makeSvg('line', { class: 'reference', 'data-reference': drawing.reference.value, x1: MARGIN.left, x2: right, y1: y, y2: y }),
      )
      parts.push(
        makeSvg(
          'text',
          { class: 'reference-label', x: right, y: y < MARGIN.top + 14 ? y + 12 : y - 4, 'text-anchor': 'end' },
          drawing.reference.label,
        ),
      )
    }
    parts.push(makeSvg('line', { class: 'cursor', y1: MARGIN.top, y2: bottom, visibility: 'hidden' }))
    svg.replaceChildren(...parts)
    drawn = { bins, toX, fromX: (pixel) => ((pixel - MARGIN.left) / (right - MARGIN.left)) * xEnd }
    showValues()
  }

  /** @param {PointerEvent} event */
  function point(event) {
    pointerX = event.clientX - touch.getBoundingClientRect().left
    showValues()
  }

  function showValues() {
    if (!drawn || pointerX === null) return
    const { bins, toX, fromX } = drawn
    const wanted = fromX(pointerX)
    const near = [...bins].flatMap(([series, points]) => (points.length > 0 ? [{ series, bin: nearest(points, wanted) }] : []))
    const anchor = near.reduce((best, each) => (Math.abs(each.bin.x - wanted) < Math.abs(best.bin.x - wanted) ? each : best))
    const x = toX(anchor.bin.x)
    const cursor = find('.cursor', svg)
    for (const name of ['x1', 'x2']) cursor.setAttribute(name, String(x))
    cursor.setAttribute('visibility', 'visible')
    tip.replaceChildren(
      make('b', {}, `step ${Math.round(anchor.bin.x).toLocaleString('en')}`),
      ...near.map(({ series, bin }) =>
        make('span', {}, make('i', { class: `key ${series.id}` }), near.length > 1 ? `${series.label} ${format(bin.y)}` : format(bin.y)),
      ),
    )
    tip.hidden = false
    const left = x + 12 + tip.offsetWidth > touch.clientWidth ? x - 12 - tip.offsetWidth : x + 12
    tip.style.left = `${Math.max(0, left)}px`
  }

  function leave() {
    pointerX = null
    tip.hidden = true
    svg.querySelector('.cursor')?.setAttribute('visibility', 'hidden')
  }
  touch.addEventListener('pointermove', point)
  touch.addEventListener('pointerdown', point)
  touch.addEventListener('pointerleave', leave)
  new ResizeObserver(draw).observe(touch)

  return {
    element,
    /** @param {Drawing} next */
    update(next) {
      drawing = next
      const entries = drawing.series.length > 1 ? drawing.series : []
      legend.replaceChildren(...entries.map((series) => make('span', {}, make('i', { class: `key ${series.id}` }), series.label)))
      if (drawing.mark) legend.append(make('span', {}, make('i', { class: 'key mark' }), drawing.mark.label))
      draw()
    },
  }
}

/** What the drawing shows, in words. @param {Drawing} drawing @param {(y: number) => string} format */
function describe(drawing, format) {
  const lines = drawing.series.flatMap(({ label, points: { x, y } }) => {
    if (y.length === 0) return []
    const low = y.reduce((a, b) => Math.min(a, b))
    const high = y.reduce((a, b) => Math.max(a, b))
    const [first, last] = [/** @type {number} */ (y[0]), /** @type {number} */ (y.at(-1))]
    return [
      `${label}: from ${format(first)} at step ${x[0]} to ${format(last)} at step ${x.at(-1)}, lowest ${format(low)}, highest ${format(high)}.`,
    ]
  })
  if (drawing.reference) lines.push(`Line at ${drawing.reference.label}.`)
  if (drawing.mark) lines.push(`${drawing.mark.label} at step ${drawing.mark.x}.`)
  return lines.length > 0 ? lines.join(' ') : 'Nothing yet.'
}

/** @param {number} low @param {number} high */
function widen(low, high) {
  const padding = high > low ? (high - low) * Y_PADDING : Math.max(Math.abs(high) * 0.1, 0.01)
  // Quantities here are never negative: no room is made for it.
  return { low: low >= 0 ? Math.max(0, low - padding) : low - padding, high: high + padding }
}

/** About `count` round numbers (1, 2 or 5 times a power of ten apart) from low to high. @param {number} low @param {number} high @param {number} count */
function niceTicks(low, high, count) {
  const rough = (high - low) / count
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * (rough / power < 1.5 ? 1 : rough / power < 3.5 ? 2 : rough / power < 7.5 ? 5 : 10)
  const ticks = []
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(Number((i * step).toPrecision(12)))
  return ticks
}

/** 0, 500, 2k, 1.5M. @param {number} steps */
function stepTick(steps) {
  if (steps >= 1e6) return `${Number((steps / 1e6).toPrecision(3))}M`
  return steps >= 1000 ? `${Number((steps / 1000).toPrecision(3))}k` : String(steps)
}

/** @param {readonly Bin[]} bins not empty @param {number} x */
function nearest(bins, x) {
  return bins.reduce((best, bin) => (Math.abs(bin.x - x) < Math.abs(best.x - x) ? bin : best))
}
