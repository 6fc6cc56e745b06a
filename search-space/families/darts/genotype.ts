// Architectures of DARTS as text: for each cell its nodes, for each node the operations on its inputs, as in
// `normal=|sep_conv_3x3~0|sep_conv_3x3~1|+|…|;reduce=|…|`. Inputs are numbered as the authors do it: 0 and 1 are the outputs of the cells before,
// 2 is the first node. What is `none` is left out.
//
// The authors' code (genotypes.py) writes the same as
//   Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), …], normal_concat=[2, 3, 4, 5], reduce=[…], reduce_concat=[2, 3, 4, 5])
// with two inputs for every node, which is read as well.

import { findOption } from '../../encoding.ts'
import { type Decision, type Encoding, type Path, SpaceError } from '../../space.ts'

const cellNames = ['normal', 'reduce'] as const
type CellName = (typeof cellNames)[number]

/** One decision: what node `to` makes of `from`. */
type Edge = { readonly cell: CellName; readonly to: number; readonly from: number }

/** What a node reads. */
type NodeInput = readonly [operation: string, from: number]

/** Of every node that the authors derive. */
const PUBLISHED_INPUTS = 2
/** What a cell reads: the two cells before it. */
const CELL_INPUTS = 2
const NONE = 'none'

function listEdges(nodes: number): Edge[] {
  return cellNames.flatMap((cell) =>
    Array.from({ length: nodes }, (_, node) => node + CELL_INPUTS).flatMap((to) =>
      Array.from({ length: to }, (_, from): Edge => ({ cell, to, from })),
    ),
  )
}

function refuse(message: string): never {
  throw new SpaceError('encoding', 'architecture', message)
}

function readOwn(text: string, cell: CellName, nodes: number): NodeInput[][] {
  const part = text.split(';').find((one) => one.startsWith(`${cell}=`))
  const groups = part?.slice(cell.length + 1).split('+') ?? []
  if (groups.length !== nodes || groups.some((group) => !/^\|([a-z0-9_]+~\d+\|)*\|?$/.test(group))) {
    refuse(`expected ${cell}=|operation~input|operation~input|+… with ${nodes} nodes, got "${text}"`)
  }
  return groups.map((group) =>
    group
      .split('|')
      .filter((input) => input !== '')
      .map((input): NodeInput => [input.slice(0, input.indexOf('~')), Number(input.slice(input.indexOf('~') + 1))]),
  )
}

function readPublished(text: string, cell: CellName, nodes: number): NodeInput[][] {
  const list = new RegExp(`\\b${cell}=\\[([^\\]]*)\\]`).exec(text)?.[1]
  const inputs = [...(list ?? '').matchAll(/\('([a-z0-9_]+)', *(\d+)\)/g)].map(([, name, from]): NodeInput => [
    name as string,
    Number(from),
  ])
  if (inputs.length !== PUBLISHED_INPUTS * nodes) {
    refuse(`expected ${cell}=[('operation', input), …] with two inputs for each of ${nodes} nodes, got ${inputs.length} inputs`)
  }
  const concat = new RegExp(`\\b${cell}_concat=(?:\\[([^\\]]*)\\]|range\\((\\d+), *(\\d+)\\))`).exec(text)
  const whole = Array.from({ length: nodes }, (_, node) => node + CELL_INPUTS)
  const given = concat?.[1]?.split(',').map(Number)
  const isWhole = given ? given.join() === whole.join() : Number(concat?.[2]) === CELL_INPUTS && Number(concat?.[3]) === CELL_INPUTS + nodes
  if (concat && !isWhole) refuse(`expected ${cell}_concat to be all nodes, ${whole.join(', ')}, got ${concat[0]}`)
  return whole.map((_, node) => inputs.slice(PUBLISHED_INPUTS * node, PUBLISHED_INPUTS * (node + 1)))
}

/** @param decisions of the edges, in their order */
function genotypeEncoding(edges: readonly Edge[], decisions: readonly Decision[], nodes: number): Encoding {
  const optionName = (path: Path, edge: number) => decisions[edge]?.options[path[edge] as number]?.name as string
  const inputsOf = (path: Path, cell: CellName, to: number): NodeInput[] =>
    edges.flatMap((edge, index): NodeInput[] => {
      const name = optionName(path, index)
      return edge.cell === cell && edge.to === to && name !== NONE ? [[name, edge.from]] : []
    })
  const nodesOf = (path: Path, cell: CellName) => Array.from({ length: nodes }, (_, node) => inputsOf(path, cell, node + CELL_INPUTS))
  return {
    print: (path) =>
      cellNames
        .map((cell) => {
          const groups = nodesOf(path, cell).map((inputs) => `|${inputs.map(([name, from]) => `${name}~${from}|`).join('')}`)
          return `${cell}=${groups.join('+')}`
        })
        .join(';'),
    read(text) {
      const read = text.startsWith('Genotype(') ? readPublished : readOwn
      const none = decisions.map((decision, index) => findOption(decision, index, NONE))
      for (const cell of cellNames) {
        for (const [node, inputs] of read(text, cell, nodes).entries()) {
          for (const [name, from] of inputs) {
            const to = node + CELL_INPUTS
            const index = edges.findIndex((edge) => edge.cell === cell && edge.to === to && edge.from === from)
            if (index === -1) refuse(`expected inputs of node ${to} of the ${cell} cell to be 0 to ${to - 1}, got ${from}`)
            if (none[index] !== findOption(decisions[index] as Decision, index, NONE))
              refuse(`node ${to} of the ${cell} cell reads ${from} twice`)
            none[index] = findOption(decisions[index] as Decision, index, name)
          }
        }
      }
      return none
    },
    publish(path) {
      const all = cellNames.map((cell) => nodesOf(path, cell))
      if (all.flat().some((inputs) => inputs.length !== PUBLISHED_INPUTS)) return null
      const concat = `[${Array.from({ length: nodes }, (_, node) => node + CELL_INPUTS).join(', ')}]`
      const fields = cellNames.map((cell, index) => {
        const list = (all[index] ?? []).flat().map(([name, from]) => `('${name}', ${from})`)
        return `${cell}=[${list.join(', ')}], ${cell}_concat=${concat}`
      })
      return `Genotype(${fields.join(', ')})`
    },
  }
}

/**
 * As the authors derive cells from probabilities: every node keeps the two inputs whose strongest operation, `none` aside, has the highest
 * probability, and of these that operation (Liu, Simonyan and Yang 2019, section 2.4; of equals the first).
 */
function keepStrongest(edges: readonly Edge[], decisions: readonly Decision[], probabilities: readonly (readonly number[])[]): number[][] {
  const noneOf = (edge: number) => (decisions[edge] as Decision).options.findIndex(({ name }) => name === NONE)
  const strength = (edge: number) => Math.max(...(probabilities[edge] ?? []).filter((_, option) => option !== noneOf(edge)))
  const isKept = (edge: Edge) => {
    const rivals = edges.flatMap(({ cell, to }, index) => (cell === edge.cell && to === edge.to ? [index] : []))
    return rivals.toSorted((a, b) => strength(b) - strength(a)).slice(0, PUBLISHED_INPUTS)
  }
  return edges.map((edge, index) => {
    const none = noneOf(index)
    return isKept(edge).includes(index)
      ? (probabilities[index] ?? []).map((p, option) => (option === none ? 0 : p))
      : (decisions[index] as Decision).options.map((_, option) => (option === none ? 1 : 0))
  })
}

export { CELL_INPUTS, type CellName, type Edge, genotypeEncoding, keepStrongest, listEdges }
