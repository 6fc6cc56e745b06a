// What the kinds of task have in common.

import * as z from 'zod'
import { MAX_DECISIONS, MAX_MAGNITUDE, MAX_OPTIONS } from '../limits.ts'

const operationIndex = z
  .int()
  .min(0)
  .max(MAX_OPTIONS - 1)
const pathSchema = z.array(operationIndex).max(MAX_DECISIONS).describe('one option index per decision')
const step = z.int().min(0)
const finite = z.number().min(-MAX_MAGNITUDE).max(MAX_MAGNITUDE)

/** The factor of each operation of each block in the sum of all of them. */
const mixtureSchema = z.array(z.array(z.number().min(0).max(1)).max(MAX_OPTIONS)).max(MAX_DECISIONS)

const counts = {
  correct: z.int().min(0).describe('images classified rightly'),
  images: z.int().min(1).describe('images seen'),
}

const notMoreThanImages = (result: { correct: number; images: number }) => result.correct <= result.images
const moreThanImages = { path: ['correct'], message: 'expected at most as many as images' }

/** What does not fit between a task and its result: `path` names the field of the result. */
type Mismatch = { readonly path: string; readonly message: string }

export { counts, finite, type Mismatch, mixtureSchema, moreThanImages, notMoreThanImages, operationIndex, pathSchema, step }
