// Pictures of spaces as SVG, from their decisions alone: a row of boxes, one for each place of the network with what there is to choose at
// it, or, where decisions are edges of a cell or of a tree, the cell or the tree. Greys and colours of middle lightness on no background, so that they are
// readable on white and on black pages.

import type { Decision, Space } from '../search-space/index.ts'

const FONT_SIZE = 12
const LINE_HEIGHT = 16
const CHARACTER_WIDTH = 7
const PADDING = 8
const GAP = 26
/** Boxes in one row of a chain. */
const ROW = 4
const INK = '#808080'
const COLOURS = ['#3a86c8', '#dd7a1f', '#2f9e77', '#b86aa6', '#a8872a', '#5c7f9b'] as const
const NODE_RADIUS = 17
const NODE_DISTANCE = 112
/** Of an arc, for each node that it passes. */
const ARC_HEIGHT = 34
/** Between two leaves of a tree. */
const LEAF_DISTANCE = 40
/** A node of a tree has as many below it. */
const BRANCHES = 2

type Box = { readonly title: string; readonly lines: readonly string[] }
type Edge = { readonly cell: string; readonly to: number; readonly from: number }
/** By the branches that lead to it. */
type TreeEdge = { readonly block: string; readonly path: readonly number[] }

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

function svg(width: number, height: number, parts: readonly string[]): string {
  const open = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`
  const style = `font-family="sans-serif" font-size="${FONT_SIZE}" fill="${INK}" stroke-width="1.5"`
  const arrow = `<marker id="arrow" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto"><path d="M0 0L8 4L0 8z" fill="${INK}"/></marker>`
  return [`${open} ${style}>`, `<defs>${arrow}</defs>`, ...parts, '</svg>', ''].join('\n')
}

function textAt(x: number, y: number, text: string, more = ''): string {
  return `<text x="${x}" y="${y}"${more}>${escaped(text)}</text>`
}

/** A decision by itself, or those of one place, `row1.kernel` and `row1.width`, in one box. */
function boxesOf(decisions: readonly Decision[]): Box[] {
  const boxes = new Map<string, { title: string; lines: string[] }>()
  for (const { name, where, options } of decisions) {
    const names = options.map((option) => option.name)
    const [, place, aspect] = /^(.+)\.([a-z]+)$/.exec(name) ?? []
    const key = place ?? name
    const box = boxes.get(key) ?? { title: key, lines: [where.split(',')[0] ?? ''] }
    boxes.set(key, box)
    if (aspect === undefined) box.lines.push(...names)
    else box.lines.push(`${aspect}: ${names.length > 4 ? `${names[0]} … ${names.at(-1)}` : names.join(', ')}`)
  }
  return [...boxes.values()]
}

function chainSvg(decisions: readonly Decision[]): string {
  const boxes: Box[] = [{ title: 'stem', lines: [] }, ...boxesOf(decisions), { title: 'head', lines: [] }]
  const width =
    Math.max(...boxes.flatMap(({ title, lines }) => [title, ...lines]).map(({ length }) => length * CHARACTER_WIDTH)) + 2 * PADDING
  const height = (Math.max(...boxes.map(({ lines }) => lines.length)) + 1) * LINE_HEIGHT + 2 * PADDING
  const parts = boxes.flatMap(({ title, lines }, index) => {
    const [row, column] = [Math.floor(index / ROW), index % ROW]
    const x = PADDING + column * (width + GAP)
    const y = PADDING + row * (height + GAP)
    const colour = lines.length === 0 ? INK : (COLOURS[0] as string)
    const middle = y + height / 2
    const isLastOfRow = column === ROW - 1 || index === boxes.length - 1
    return [
      `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="4" fill="none" stroke="${colour}"/>`,
      textAt(x + PADDING, y + PADDING + FONT_SIZE, title, ` font-weight="bold" fill="${colour}"`),
      ...lines.map((line, i) => textAt(x + PADDING, y + PADDING + FONT_SIZE + (i + 1) * LINE_HEIGHT, line)),
      ...(isLastOfRow ? [] : [`<path d="M${x + width} ${middle}h${GAP}" stroke="${INK}" marker-end="url(#arrow)"/>`]),
    ]
  })
  const columns = Math.min(ROW, boxes.length)
  const rows = Math.ceil(boxes.length / ROW)
  return svg(2 * PADDING + columns * (width + GAP) - GAP, 2 * PADDING + rows * (height + GAP) - GAP, parts)
}

/** `edge3.1` or `normal.edge3.1`: null where a decision is no edge. */
function edgeOf({ name }: Decision): Edge | null {
  const [, cell = '', to, from] = /^(?:(\w+)\.)?edge(\d+)\.(\d+)$/.exec(name) ?? []
  return to === undefined ? null : { cell, to: Number(to), from: Number(from) }
}

/**
 * The first cell: its nodes in a row, an arc for each edge, and what each edge chooses from. Where no edge is between neighbours, each
 * node reads the one before it whatever is chosen.
 */
function cellSvg(edges: readonly Edge[], options: readonly string[]): string {
  const own = edges.filter(({ cell }) => cell === edges[0]?.cell)
  const nodes = Math.max(...own.map(({ to }) => to)) + 1
  const farthest = Math.max(...own.map(({ to, from }) => to - from))
  const y = PADDING + ARC_HEIGHT * farthest + NODE_RADIUS
  const place = (node: number) => PADDING + NODE_RADIUS + node * NODE_DISTANCE
  const isChain = own.every(({ to, from }) => to - from > 1)
  const inputs = isChain ? 1 : Math.min(...own.map(({ to }) => to))
  const steps = Array.from({ length: isChain ? nodes - 1 : 0 }, (_, node) => {
    return `<path d="M${place(node) + NODE_RADIUS} ${y}H${place(node + 1) - NODE_RADIUS}" stroke="${INK}" marker-end="url(#arrow)"/>`
  })
  const arcs = own.map(({ to, from }) => {
    const colour = COLOURS[from % COLOURS.length]
    const peak = y - NODE_RADIUS - 2 * ARC_HEIGHT * (to - from - 0.5)
    return `<path d="M${place(from)} ${y - NODE_RADIUS}Q${(place(from) + place(to)) / 2} ${peak} ${place(to)} ${y - NODE_RADIUS}" fill="none" stroke="${colour}" marker-end="url(#arrow)"/>`
  })
  const circles = Array.from({ length: nodes }, (_, node) => [
    `<circle cx="${place(node)}" cy="${y}" r="${NODE_RADIUS}" fill="none" stroke="${node < inputs ? INK : COLOURS[0]}"/>`,
    textAt(place(node), y + FONT_SIZE / 3, String(node), ' text-anchor="middle"'),
  ]).flat()
  const first = isChain ? 'what the stage begins with; each layer reads the one before it' : 'what the cell reads'
  const caption = [`0${inputs > 1 ? ` to ${inputs - 1}` : ''}: ${first}; each arc is one of`, options.join(', ')]
  const captions = caption.map((line, i) => textAt(PADDING, y + NODE_RADIUS + PADDING + (i + 1) * LINE_HEIGHT, line))
  const width = Math.max(place(nodes - 1) + NODE_RADIUS, ...caption.map(({ length }) => PADDING + length * CHARACTER_WIDTH)) + PADDING
  return svg(width, y + NODE_RADIUS + 2 * PADDING + caption.length * LINE_HEIGHT + PADDING, [...arcs, ...steps, ...circles, ...captions])
}

/** `block1/edge0.1`: null where a decision is no edge of a tree. */
function treeEdgeOf({ name }: Decision): TreeEdge | null {
  const [, block, path] = /^(\w+)\/edge(\d+(?:\.\d+)*)$/.exec(name) ?? []
  return block === undefined || path === undefined ? null : { block, path: path.split('.').map(Number) }
}

/** The first tree: levels from left to right, a line for each edge, coloured where it is a decision, and what edges choose from. */
function treeSvg(edges: readonly TreeEdge[], options: readonly string[]): string {
  const own = new Set(edges.filter(({ block }) => block === edges[0]?.block).map(({ path }) => path.join('.')))
  const depth = Math.max(...edges.map(({ path }) => path.length))
  const height = BRANCHES ** depth * LEAF_DISTANCE
  const place = (path: readonly number[]) => {
    const share = path.reduce((sum, branch, level) => sum + branch / BRANCHES ** (level + 1), 0) + 0.5 / BRANCHES ** path.length
    return { x: PADDING + NODE_RADIUS + path.length * NODE_DISTANCE, y: PADDING + share * height }
  }
  const levels = Array.from({ length: depth }, (_, level) =>
    Array.from({ length: BRANCHES ** (level + 1) }, (__, index) =>
      Array.from({ length: level + 1 }, (___, at) => Math.floor(index / BRANCHES ** (level - at)) % BRANCHES),
    ),
  ).flat()
  const lines = levels.map((path) => {
    const [from, to] = [place(path.slice(0, -1)), place(path)]
    const colour = own.has(path.join('.')) ? COLOURS[(path.length - 1) % COLOURS.length] : INK
    return `<path d="M${from.x + NODE_RADIUS} ${from.y}L${to.x - NODE_RADIUS} ${to.y}" fill="none" stroke="${colour}" marker-end="url(#arrow)"/>`
  })
  const circles = [[], ...levels].map((path) => {
    const { x, y } = place(path)
    return `<circle cx="${x}" cy="${y}" r="${NODE_RADIUS}" fill="none" stroke="${path.length === 0 ? INK : COLOURS[0]}"/>`
  })
  const caption = [
    'left: what the convolution in groups makes; what comes out at the right is merged again, node by node',
    `grey: nothing is done; each coloured arrow is one of ${options.join(', ')}`,
  ]
  const captions = caption.map((line, i) => textAt(PADDING, 2 * PADDING + height + (i + 1) * LINE_HEIGHT, line))
  const width = Math.max(...caption.map(({ length }) => length * CHARACTER_WIDTH)) + 2 * PADDING
  return svg(width, 4 * PADDING + height + caption.length * LINE_HEIGHT, [...lines, ...circles, ...captions])
}

function spacePicture({ decisions }: Pick<Space, 'decisions'>): string {
  const edges = decisions.flatMap((decision) => edgeOf(decision) ?? [])
  const [first] = decisions
  const treeEdges = decisions.flatMap((decision) => treeEdgeOf(decision) ?? [])
  if (first && treeEdges.length === decisions.length) {
    return treeSvg(
      treeEdges,
      first.options.map(({ name }) => name),
    )
  }
  if (!first || edges.length < decisions.length) return chainSvg(decisions)
  return cellSvg(
    edges,
    first.options.map(({ name }) => name),
  )
}

export { spacePicture }
