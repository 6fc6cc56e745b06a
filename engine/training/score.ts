// How well logits predict labels: shares of images whose label is the first guess, or among the first five.

const TOP = 5

type Score = {
  /** Shares from 0 to 1. */
  readonly top1: number
  readonly top5: number
  /** Mean over the images, in nats. */
  readonly crossEntropy: number
  readonly images: number
}

/** What a score is made of, so that several threads can add theirs up. */
type ScoreSums = {
  readonly images: number
  readonly first: number
  readonly firstFive: number
  readonly crossEntropy: number
}

type Tally = {
  /** Takes in a batch: `logits` is row-major [labels.length, classes]. */
  add(logits: Float32Array, labels: Int32Array): void
  sums(): ScoreSums
  score(): Score
}

/** How many classes are guessed before the label; of equal logits the lower class comes first. Not a number counts as worst. */
function rankOf(row: Float32Array, label: number): number {
  const own = row[label] as number
  if (Number.isNaN(own)) return Number.POSITIVE_INFINITY
  let before = 0
  for (const [c, logit] of row.entries()) if (logit > own || (logit === own && c < label)) before++
  return before
}

function crossEntropyOf(row: Float32Array, label: number): number {
  let largest = Number.NEGATIVE_INFINITY
  for (const logit of row) largest = Math.max(largest, logit)
  let total = 0
  for (const logit of row) total += Math.exp(logit - largest)
  return largest + Math.log(total) - (row[label] as number)
}

/** The score of all images together. */
function scoreOf(parts: readonly ScoreSums[]): Score {
  const sum = (field: keyof ScoreSums) => parts.reduce((total, part) => total + part[field], 0)
  const images = sum('images')
  return { top1: sum('first') / images, top5: sum('firstFive') / images, crossEntropy: sum('crossEntropy') / images, images }
}

function createTally(): Tally {
  let images = 0
  let first = 0
  let firstFive = 0
  let crossEntropy = 0
  const sums = (): ScoreSums => ({ images, first, firstFive, crossEntropy })
  return {
    add(logits, labels) {
      const classes = logits.length / labels.length
      for (const [i, label] of labels.entries()) {
        const row = logits.subarray(i * classes, (i + 1) * classes)
        const rank = rankOf(row, label)
        if (rank === 0) first++
        if (rank < TOP) firstFive++
        crossEntropy += crossEntropyOf(row, label)
      }
      images += labels.length
    },
    sums,
    score: () => scoreOf([sums()]),
  }
}

export { createTally, type Score, scoreOf, type ScoreSums, type Tally }
