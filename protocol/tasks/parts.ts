// What the kinds of task have in common.

import * as z from 'zod'
import type { Space } from '../../search-space/index.ts'
import { MAX_DECISIONS, MAX_IMAGES, MAX_MAGNITUDE, MAX_OPTIONS } from '../limits.ts'

const operationIndex = z
  .int()
  .min(0)
  .max(MAX_OPTIONS - 1)
const pathSchema = z.array(operationIndex).max(MAX_DECISIONS).describe('one option index per decision')
const step = z.int().min(0)
const finite = z.number().min(-MAX_MAGNITUDE).max(MAX_MAGNITUDE)

/** The factor of each operation of each block in the sum of all of them. */
const mixtureSchema = z.array(z.array(z.number().min(0).max(1)).max(MAX_OPTIONS)).max(MAX_DECISIONS)

/** Cross-entropies beyond this are of a network that has diverged: e^−1e6 is nobody's probability. */
const MAX_CROSS_ENTROPY = 1e6

const counts = {
  correct: z.int().min(0).max(MAX_IMAGES).describe('images classified rightly'),
  images: z.int().min(1).max(MAX_IMAGES).describe('images seen'),
}

const notMoreThanImages = (result: { correct: number; images: number }) => result.correct <= result.images
const moreThanImages = { path: ['correct'], message: 'expected at most as many as images' }

/** What does not fit between a task and its result: `path` names the field of the result. */
type Mismatch = { readonly path: string; readonly message: string }

/** What results are held against beside their work. */
type TaskSetting = Pick<Space, 'decisions'> & { readonly batchSize: number }

function crossEntropyMismatch(path: string, value: number): Mismatch | null {
  if (value >= 0 && value <= MAX_CROSS_ENTROPY) return null
  return { path, message: `expected 0 to ${MAX_CROSS_ENTROPY}, got ${value}` }
}

function imagesMismatch(path: string, images: number, expected: number): Mismatch | null {
  return images === expected ? null : { path, message: `expected ${expected}, got ${images}` }
}

export {
  counts,
  crossEntropyMismatch,
  imagesMismatch,
  type TaskSetting,
  finite,
  type Mismatch,
  mixtureSchema,
  moreThanImages,
  notMoreThanImages,
  operationIndex,
  pathSchema,
  step,
}
