// Architectures of trees as text: blocks with `;` between them, each a tree of its edges' operations. A node is its two branches in brackets, a
// branch the operation of its edge, unless that is no decision, and the node below it:
//
//   ((dw3(id,max3),avg3(dw5,dw5)),(id(dil3,id),dw7(avg3,max3)));…

import { findOption } from '../../encoding.ts'
import { type Decision, type Encoding, type Path, SpaceError } from '../../space.ts'
import type { TreeLevel } from './config.ts'
import { BRANCHES } from './plan.ts'

/** `next` gives the names of the chosen edges, in their order. */
function printNode(levels: readonly TreeLevel[], next: () => string): string {
  const [level, ...below] = levels
  if (!level) return ''
  const branches = Array.from({ length: BRANCHES }, () => `${level.edges === 'chosen' ? next() : ''}${printNode(below, next)}`)
  return `(${branches.join(',')})`
}

/** @param decisions those of `blocks` trees, one tree after the other */
function treeEncoding(levels: readonly TreeLevel[], blocks: number, decisions: readonly Decision[]): Encoding {
  const printNames = (names: readonly string[]) => {
    const left = names.values()
    return Array.from({ length: blocks }, () => printNode(levels, () => left.next().value ?? '')).join(';')
  }
  const print = (path: Path) => printNames(decisions.map(({ options }, index) => options[path[index] as number]?.name ?? ''))
  return {
    print,
    read(text) {
      const names = text.match(/[^(),;]+/g) ?? []
      if (names.length !== decisions.length || printNames(names) !== text) {
        const form = printNode(levels, () => decisions[0]?.options[0]?.name ?? '')
        throw new SpaceError('encoding', 'architecture', `expected ${blocks} trees of the form ${form} with ; between them, got "${text}"`)
      }
      return decisions.map((decision, index) => findOption(decision, index, names[index]))
    },
  }
}

export { treeEncoding }
