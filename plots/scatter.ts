// A scatter plot as SVG: named series with markers and error bars, lines between points, the identity. Greys and colours of
// middle lightness on no background, so that it is readable on white and on black pages.

import { createScale, type Range, rangeOf, type Scale } from './axis.ts'
import { type Better, paretoFront, type Point } from '../search-space/index.ts'

const DEFAULT_WIDTH = 720
const DEFAULT_HEIGHT = 540
const MARGIN = { left: 76, right: 24, bottom: 60, top: 20 } as const
const TITLE_HEIGHT = 28
const LEGEND_ROW_HEIGHT = 22
const LEGEND_SAMPLE_WIDTH = 22
const FONT_SIZE = 14
/** Of a character, as a share of the font size; fonts differ, so a legend gets room rather than a fit. */
const CHARACTER_WIDTH = 0.6
const TICK_LENGTH = 5
const MARKER_RADIUS = 4.5
const CAP = 3.5
/** Side of a cloud's dot, pixels. */
const DOT = 2
const DOT_PATH = `h${DOT}v${DOT}h${-DOT}z`
const INK = '#808080'
const GRID = '#80808040'
/** Told apart by people who see few colours too, and all of about the same lightness (after Okabe and Ito 2008). */
const COLOURS = ['#3a86c8', '#dd7a1f', '#2f9e77', '#b86aa6', '#a8872a', '#5c7f9b'] as const

const markers = {
  circle: `M${-MARKER_RADIUS} 0a${MARKER_RADIUS} ${MARKER_RADIUS} 0 1 0 ${2 * MARKER_RADIUS} 0a${MARKER_RADIUS} ${MARKER_RADIUS} 0 1 0 ${-2 * MARKER_RADIUS} 0z`,
  square: 'M-4 -4h8v8h-8z',
  diamond: 'M0 -5.5L5.5 0L0 5.5L-5.5 0z',
  triangle: 'M0 -5.5L5 4H-5z',
  star: 'M0 -6.5L1.7 -2L6.4 -2L2.7 1L4 5.5L0 2.8L-4 5.5L-2.7 1L-6.4 -2L-1.7 -2z',
} as const
type Marker = keyof typeof markers
const markerNames = Object.keys(markers) as Marker[]

type PlotPoint = Point & {
  /** Half-length of an error bar, in the axis's unit. */
  readonly xError?: number | undefined
  readonly yError?: number | undefined
  /** Written beside the marker. */
  readonly label?: string | undefined
  /** Shown where a mouse rests on the marker. */
  readonly title?: string | undefined
}

type Series = {
  readonly name: string
  readonly points: readonly PlotPoint[]
  /** Default: another one for each series. */
  readonly marker?: Marker | undefined
  /** Draws points as dots, thousands of them as one path in grey: without labels, titles and error bars; default false. */
  readonly isCloud?: boolean | undefined
  /** Draws the series' Pareto front as steps: no point on it is beaten in both directions. */
  readonly front?: { readonly x: Better; readonly y: Better } | undefined
}

type Line = { readonly name: string; readonly points: readonly Point[]; readonly isDashed?: boolean | undefined }

type Axis = {
  /** With its unit. */
  readonly label: string
  /** Default: all points and error bars, with some room. */
  readonly range?: Range | undefined
}

type ScatterPlot = {
  readonly title?: string | undefined
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly Series[]
  readonly lines?: readonly Line[] | undefined
  /** Draws y = x, and gives both axes one range. */
  readonly identity?: { readonly name: string } | undefined
  /** Pixels; default 720 × 540. */
  readonly width?: number | undefined
  readonly height?: number | undefined
}

type Area = { readonly left: number; readonly right: number; readonly top: number; readonly bottom: number }

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

/** Hundredths of a pixel are enough. */
function px(value: number): string {
  return String(Number(value.toFixed(2)))
}

function textAt(x: number, y: number, text: string, attributes = ''): string {
  return `<text x="${px(x)}" y="${px(y)}" ${attributes}>${escapeXml(text)}</text>`
}

function isDrawable({ x, y }: Point): boolean {
  return Number.isFinite(x) && Number.isFinite(y)
}

function rangesOf({ x, y, series, lines = [], identity }: ScatterPlot): { x: Range; y: Range } {
  const points = series.flatMap((each) => each.points).filter(isDrawable)
  const others = lines.flatMap((line) => line.points)
  const ends = (value: number, error = 0) => [value - error, value + error]
  const xs = [...points.flatMap((point) => ends(point.x, point.xError)), ...others.map((point) => point.x)]
  const ys = [...points.flatMap((point) => ends(point.y, point.yError)), ...others.map((point) => point.y)]
  if (identity) {
    const both = x.range ?? y.range ?? rangeOf([...xs, ...ys])
    return { x: both, y: both }
  }
  return { x: x.range ?? rangeOf(xs), y: y.range ?? rangeOf(ys) }
}

type LegendEntry = { readonly name: string; readonly sample: (x: number, y: number) => string }

/** Entries in rows no wider than the plot; how many rows there are. */
function layOutLegend(entries: readonly LegendEntry[], width: number): { rows: number; place(index: number): { x: number; row: number } } {
  const places: { x: number; row: number }[] = []
  let x = 0
  let row = 0
  for (const { name } of entries) {
    const entryWidth = LEGEND_SAMPLE_WIDTH + 8 + name.length * FONT_SIZE * CHARACTER_WIDTH + 16
    if (x > 0 && x + entryWidth > width) {
      x = 0
      row += 1
    }
    places.push({ x, row })
    x += entryWidth
  }
  return { rows: entries.length === 0 ? 0 : row + 1, place: (index) => places[index] as { x: number; row: number } }
}

function drawAxes(area: Area, x: Scale, y: Scale, labels: { x: string; y: string }): string[] {
  const middleY = (area.top + area.bottom) / 2
  return [
    ...x.ticks.map(({ value }) => `<path d="M${px(x.place(value))} ${area.top}V${area.bottom}" stroke="${GRID}"/>`),
    ...y.ticks.map(({ value }) => `<path d="M${area.left} ${px(y.place(value))}H${area.right}" stroke="${GRID}"/>`),
    `<path d="M${area.left} ${area.top}V${area.bottom}H${area.right}" fill="none" stroke="${INK}"/>`,
    ...x.ticks.flatMap(({ value, text }) => [
      `<path d="M${px(x.place(value))} ${area.bottom}v${TICK_LENGTH}" stroke="${INK}"/>`,
      textAt(x.place(value), area.bottom + TICK_LENGTH + FONT_SIZE, text, 'class="x-tick" text-anchor="middle"'),
    ]),
    ...y.ticks.flatMap(({ value, text }) => [
      `<path d="M${area.left} ${px(y.place(value))}h${-TICK_LENGTH}" stroke="${INK}"/>`,
      textAt(area.left - TICK_LENGTH - 4, y.place(value), text, 'class="y-tick" text-anchor="end" dominant-baseline="central"'),
    ]),
    textAt((area.left + area.right) / 2, area.bottom + 46, labels.x, 'text-anchor="middle"'),
    textAt(20, middleY, labels.y, `text-anchor="middle" transform="rotate(-90 20 ${px(middleY)})"`),
  ]
}

/** Above to the right of a marker, or on whichever side there is room. */
function drawLabel(left: number, top: number, label: string, area: Area): string {
  const fits = left + MARKER_RADIUS + label.length * FONT_SIZE * CHARACTER_WIDTH < area.right
  const away = MARKER_RADIUS + 4
  const under = top - away - FONT_SIZE < area.top
  return textAt(
    fits ? left + away : left - away,
    under ? top + away + FONT_SIZE / 2 : top - MARKER_RADIUS,
    label,
    `class="label" text-anchor="${fits ? 'start' : 'end'}"`,
  )
}

function drawPoint(point: PlotPoint, marker: Marker, colour: string, x: Scale, y: Scale, area: Area): string[] {
  const [left, top] = [x.place(point.x), y.place(point.y)]
  const bars: string[] = []
  if (point.xError !== undefined && point.xError > 0) {
    const [from, to] = [x.place(point.x - point.xError), x.place(point.x + point.xError)]
    const cap = `v${2 * CAP}m0 ${-CAP}`
    bars.push(`M${px(from)} ${px(top - CAP)}${cap}H${px(to)}m0 ${-CAP}v${2 * CAP}`)
  }
  if (point.yError !== undefined && point.yError > 0) {
    const [from, to] = [y.place(point.y - point.yError), y.place(point.y + point.yError)]
    bars.push(`M${px(left - CAP)} ${px(from)}h${2 * CAP}m${-CAP} 0V${px(to)}m${-CAP} 0h${2 * CAP}`)
  }
  const title = point.title === undefined ? '' : `<title>${escapeXml(point.title)}</title>`
  return [
    ...(bars.length === 0 ? [] : [`<path class="error" d="${bars.join('')}" fill="none" stroke="${colour}"/>`]),
    `<path class="point" d="${markers[marker]}" transform="translate(${px(left)} ${px(top)})" fill="${colour}" fill-opacity="0.75">${title}</path>`,
    ...(point.label === undefined ? [] : [drawLabel(left, top, point.label, area)]),
  ]
}

function drawCloud(points: readonly PlotPoint[], x: Scale, y: Scale): string {
  const dots = points.map((point) => `M${px(x.place(point.x) - DOT / 2)} ${px(y.place(point.y) - DOT / 2)}${DOT_PATH}`)
  return `<path class="cloud" d="${dots.join('')}" fill="${INK}" fill-opacity="0.4"/>`
}

/** From the worst end of one axis to the best: flat until the next point of the front takes over. */
function drawFront(series: Series, colour: string, x: Scale, y: Scale): string[] {
  if (!series.front) return []
  const front = paretoFront(series.points, series.front)
  const [first] = front
  if (!first) return []
  // Between two points of a front one could have the one of the two that is within reach: with a low x as the better, the left one.
  const steps = front.slice(1).map((point) => {
    const [right, top] = [px(x.place(point.x)), px(y.place(point.y))]
    return series.front?.x === 'low' ? `H${right}V${top}` : `V${top}H${right}`
  })
  const start = `M${px(x.place(first.x))} ${px(y.place(first.y))}`
  return [`<path class="front" d="${start}${steps.join('')}" fill="none" stroke="${colour}" stroke-width="1.5"/>`]
}

function drawLine({ points, isDashed = false }: Line, colour: string, x: Scale, y: Scale): string {
  const path = points.map((point, index) => `${index === 0 ? 'M' : 'L'}${px(x.place(point.x))} ${px(y.place(point.y))}`).join('')
  return `<path class="line" d="${path}" fill="none" stroke="${colour}" stroke-width="1.5"${isDashed ? ' stroke-dasharray="6 4"' : ''}/>`
}

/** The whole SVG document. Points that are not finite are left out; what lies outside of a given range is cut off. */
function scatterSvg(plot: ScatterPlot): string {
  const { title, series, lines = [], identity, width = DEFAULT_WIDTH, height = DEFAULT_HEIGHT } = plot
  const ranges = rangesOf(plot)
  const [low, high] = ranges.x
  const colourOf = (index: number) => COLOURS[index % COLOURS.length] as string
  const markerOf = ({ marker }: Series, index: number) => marker ?? (markerNames[index % markerNames.length] as Marker)
  const allLines = [
    ...lines.map((line, index) => ({ line, colour: colourOf(series.length + index) })),
    ...(identity
      ? [
          {
            line: {
              name: identity.name,
              points: [
                { x: low, y: low },
                { x: high, y: high },
              ],
              isDashed: true,
            },
            colour: INK,
          },
        ]
      : []),
  ]
  const entries: LegendEntry[] = [
    ...series.map((each, index) => ({
      name: each.name,
      sample: (x: number, y: number) =>
        `<path d="${markers[markerOf(each, index)]}" transform="translate(${px(x + LEGEND_SAMPLE_WIDTH / 2)} ${px(y)})" fill="${each.isCloud ? INK : colourOf(index)}"/>`,
    })),
    ...allLines.map(({ line, colour }) => ({
      name: line.name,
      sample: (x: number, y: number) =>
        `<path d="M${px(x)} ${px(y)}h${LEGEND_SAMPLE_WIDTH}" stroke="${colour}" stroke-width="1.5"${line.isDashed ? ' stroke-dasharray="6 4"' : ''}/>`,
    })),
  ]
  const legend = layOutLegend(entries, width - MARGIN.left - MARGIN.right)
  const titleHeight = title === undefined ? 0 : TITLE_HEIGHT
  const area: Area = {
    left: MARGIN.left,
    right: width - MARGIN.right,
    top: MARGIN.top + titleHeight + legend.rows * LEGEND_ROW_HEIGHT,
    bottom: height - MARGIN.bottom,
  }
  const x = createScale(ranges.x, area.left, area.right)
  const y = createScale(ranges.y, area.bottom, area.top)
  const legendTop = MARGIN.top + titleHeight
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="${FONT_SIZE}">`,
    ...(title === undefined ? [] : [`<title>${escapeXml(title)}</title>`]),
    `<clipPath id="area"><rect x="${area.left}" y="${area.top}" width="${area.right - area.left}" height="${area.bottom - area.top}"/></clipPath>`,
    `<g fill="${INK}">`,
    ...(title === undefined ? [] : [textAt(MARGIN.left, MARGIN.top + FONT_SIZE, title, 'font-weight="bold"')]),
    ...entries.flatMap(({ name, sample }, index) => {
      const place = legend.place(index)
      const left = MARGIN.left + place.x
      const middle = legendTop + (place.row + 0.5) * LEGEND_ROW_HEIGHT
      return [sample(left, middle), textAt(left + LEGEND_SAMPLE_WIDTH + 8, middle, name, 'class="legend" dominant-baseline="central"')]
    }),
    ...drawAxes(area, x, y, { x: plot.x.label, y: plot.y.label }),
    '<g clip-path="url(#area)">',
    ...allLines.map(({ line, colour }) => drawLine(line, colour, x, y)),
    ...series.flatMap((each, index) => drawFront(each, colourOf(index), x, y)),
    ...series.flatMap((each, index) => [
      `<g class="series" data-name="${escapeXml(each.name)}">`,
      ...(each.isCloud
        ? [drawCloud(each.points.filter(isDrawable), x, y)]
        : each.points.filter(isDrawable).flatMap((point) => drawPoint(point, markerOf(each, index), colourOf(index), x, y, area))),
      '</g>',
    ]),
    '</g>',
    '</g>',
    '</svg>',
    '',
  ].join('\n')
}

export { type Axis, type Line, type Marker, type PlotPoint, type ScatterPlot, scatterSvg, type Series }
