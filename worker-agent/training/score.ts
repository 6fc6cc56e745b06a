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

type Tally = {
  /** Takes in a batch: `logits` is row-major [labels.length, classes]. */
  add(logits: Float32Array, labels: Int32Array): void
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

function createTally(): Tally {
  let images = 0
  let first = 0
  let firstFive = 0
  let crossEntropy = 0
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
    score: () => ({ top1: first / images, top5: firstFive / images, crossEntropy: crossEntropy / images, images }),
  }
}

export { createTally, type Score, type Tally }
