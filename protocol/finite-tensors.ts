// Numbers that training and exports can be made of. One NaN in a filter is a network whose every answer is NaN, so a file that has one
// is refused where it is read, and never written.

import { MAX_MAGNITUDE } from './limits.ts'
import { statisticsKeys } from './model-file.ts'

/** What is wrong with the first number that is not finite; null where all are. */
function notFinite(values: Float32Array): string | null {
  const index = values.findIndex((value) => !Number.isFinite(value))
  return index === -1 ? null : `element ${index} is ${values[index]}, expected a finite number`
}

/** What is wrong with the first number that is no variance; null where all are. */
function notVariance(values: Float32Array): string | null {
  const index = values.findIndex((value) => value < 0)
  return notFinite(values) ?? (index === -1 ? null : `element ${index} is ${values[index]}, expected a variance, 0 or above`)
}

/** What is wrong with the first number that no coordinator stores, since it is of training that has diverged; null where all are good. */
function notStorable(values: Float32Array): string | null {
  const index = values.findIndex((value) => !(Math.abs(value) <= MAX_MAGNITUDE))
  return index === -1 ? null : `element ${index} is ${values[index]}, expected a finite number`
}

type Numbers = { readonly values: Float32Array }
type Statistics = { readonly mean: Float32Array; readonly variance: Float32Array }

/** Names the first tensor of a network that has a number which it must not have, and the number; null where there is none. */
function badNumbers(weights: ReadonlyMap<string, Numbers>, statistics: ReadonlyMap<string, Statistics> = new Map()): string | null {
  for (const [key, { values }] of weights) {
    const problem = notFinite(values)
    if (problem !== null) return `tensor ${key}: ${problem}`
  }
  for (const [gamma, { mean, variance }] of statistics) {
    const keys = statisticsKeys(gamma)
    const ofMean = notFinite(mean)
    if (ofMean !== null) return `tensor ${keys.mean}: ${ofMean}`
    const ofVariance = notVariance(variance)
    if (ofVariance !== null) return `tensor ${keys.variance}: ${ofVariance}`
  }
  return null
}

export { badNumbers, notFinite, notStorable, notVariance }
