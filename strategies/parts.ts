// Divides the operations of every block among learners, so that what they learn at the same time does not collide.
//
// Only a supernet allows this: a mini-batch trains one path, so learners whose paths have no operation in common change
// different weights, and all their differences can be added whole. For each block the operations lie in random order on a
// circle, each as long as its probability, and each learner has an arc of it, as long as its share of the steps. Two kinds
// of operations:
//
//   small   clearly shorter than every arc: belongs whole to the learner in whose arc its middle lies
//   large   belongs to each learner whose point lies in it; the points of all learners are at the same place of their arcs
//           (systematic sampling, Madow 1949), so that the number of its owners is its probability times the learners,
//           rounded up or down
//
// A learner whose point lies in a large operation trains only that; one whose point lies among small ones draws from those
// that are its own. Over many rounds each operation is drawn as often as its probability says: exactly where all are equal
// or large, within 0.04 else, since small ones are not cut in two where arcs meet. (Gates of architecture steps are drawn from
// the probabilities themselves.) Late in a search, when one operation of a block has nearly all of the probability, all
// learners train it: such collisions cannot be avoided, and protocol/round-shares.ts says what becomes of them.

import type { Random } from '../search-space/index.ts'

/** Operations of one block that a learner may train, with the weights they are drawn by; at least one. */
type BlockPart = { readonly operations: readonly number[]; readonly weights: readonly number[] }
/** One for each block. */
type Part = readonly BlockPart[]

/** Operations that are as long as an arc but for a little each go to one learner, as if they were as long. */
const LARGE_SHARE = 0.95

type Interval = { readonly operation: number; readonly from: number; readonly length: number }

/** Operations of positive probability in random order, laid out from 0 on. */
function layOut(block: BlockPart, random: Random): Interval[] {
  const total = block.weights.reduce((sum, weight) => sum + weight, 0)
  const order = random.shuffle(block.operations.map((_, i) => i).filter((i) => (block.weights[i] ?? 0) > 0))
  let from = 0
  return order.map((i) => {
    const length = (block.weights[i] as number) / total
    const interval = { operation: block.operations[i] as number, from, length }
    from += length
    return interval
  })
}

const onCircle = (place: number) => place - Math.floor(place)

/** The interval in which a place of the circle lies. */
function intervalAt(intervals: readonly Interval[], place: number): Interval {
  return intervals.find(({ from, length }) => place < from + length) ?? (intervals.at(-1) as Interval)
}

/** One block divided among learners; `shares` are positive and sum to 1. */
function divideBlock(block: BlockPart, shares: readonly number[], random: Random): BlockPart[] {
  const intervals = layOut(block, random)
  const smallestArc = Math.min(...shares)
  const isLarge = ({ length }: Interval) => length >= LARGE_SHARE * smallestArc
  const turn = random.uniform()
  const point = random.uniform()
  const parts: BlockPart[] = shares.map(() => ({ operations: [], weights: [] }))
  let start = 0
  // Learners take their arcs in random order, too: otherwise the same two would always be neighbours.
  for (const learner of random.shuffle(shares.map((_, i) => i))) {
    const arc = shares[learner] as number
    const from = start
    start += arc
    const atPoint = intervalAt(intervals, onCircle(turn + from + point * arc))
    const own = isLarge(atPoint)
      ? [atPoint]
      : intervals.filter((interval) => !isLarge(interval) && onCircle(interval.from + interval.length / 2 - turn - from) < arc)
    // Between two large ones an arc may hold no small one's middle.
    const chosen = own.length > 0 ? own : [atPoint]
    parts[learner] = { operations: chosen.map(({ operation }) => operation), weights: chosen.map(({ length }) => length) }
  }
  return parts
}

/**
 * The part of each learner.
 *
 * @param blocks what is to be divided: all operations of each block with their probabilities, or the part of one machine
 * @param shares of the steps, one for each learner; positive, in any unit
 */
function divide(blocks: Part, shares: readonly number[], random: Random): Part[] {
  if (shares.length === 1) return [blocks]
  const total = shares.reduce((sum, share) => sum + share, 0)
  const byBlock = blocks.map((block) =>
    divideBlock(
      block,
      shares.map((share) => share / total),
      random,
    ),
  )
  return shares.map((_, learner) => byBlock.map((parts) => parts[learner] as BlockPart))
}

/** A path through a part: one operation of each block, by its weights or, `uniform`, each as likely as the others. */
function drawPath(part: Part, uniform: boolean, random: Random): number[] {
  return part.map(({ operations, weights }) => operations[uniform ? random.integer(operations.length) : random.weighted(weights)] as number)
}

/** The part without the operations of a path, but where one is all that a block has. */
function withoutPath(part: Part, path: readonly number[]): Part {
  return part.map((block, b) => {
    const rest = block.operations.map((_, i) => i).filter((i) => block.operations[i] !== path[b] && (block.weights[i] ?? 0) > 0)
    if (rest.length === 0) return block
    return { operations: rest.map((i) => block.operations[i] as number), weights: rest.map((i) => block.weights[i] as number) }
  })
}

/** How many of these parts hold each operation, [block][operation → count]. */
function countOwners(parts: readonly Part[]): Map<number, number>[] {
  const blocks = parts[0]?.length ?? 0
  return Array.from({ length: blocks }, (_, block) => {
    const owners = new Map<number, number>()
    for (const part of parts) for (const operation of part[block]?.operations ?? []) owners.set(operation, (owners.get(operation) ?? 0) + 1)
    return owners
  })
}

export { type BlockPart, countOwners, divide, drawPath, type Part, withoutPath }
