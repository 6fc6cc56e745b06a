// Settings of the cell space of DARTS (Liu, Simonyan and Yang 2019, arXiv 1806.09055; the authors' code, github.com/quark0/darts: operations.py,
// genotypes.py, model_search.py, model.py), which PARSEC and many others search as well: two cells, a normal one and one that halves
// the image, each a graph whose nodes read the two cells before it and each other.

import * as z from 'zod'
import { MAX_CELLS, mbconvFields, width } from '../mbconv/config.ts'

/** As in genotypes.py, in this order. */
const dartsOperations = [
  'none',
  'max_pool_3x3',
  'avg_pool_3x3',
  'skip_connect',
  'sep_conv_3x3',
  'sep_conv_5x5',
  'dil_conv_3x3',
  'dil_conv_5x5',
] as const
type DartsOperation = (typeof dartsOperations)[number]

/** Of two inputs and this many nodes come 2 + 3 + … edges. */
const MAX_NODES = 6
/** The cells that halve the image are at a third and at two thirds. */
const MIN_CELLS = 3

const { name, input, classes, batchNormEpsilon } = mbconvFields

const dartsFields = {
  family: z.literal('darts'),
  name,
  input,
  classes,
  width: width.describe('channels of the nodes of the first cells, an even number; twice as many behind each cell that halves the image'),
  cells: z.int().min(MIN_CELLS).max(MAX_CELLS).describe('cells of the network; those at a third and at two thirds of it halve the image'),
  nodes: z.int().min(1).max(MAX_NODES).describe('nodes of a cell, its two inputs not counted'),
  operations: z.array(z.enum(dartsOperations)).min(2).describe('operations that an edge chooses from, in this order; `none` is among them'),
  batchNormEpsilon,
}

const dartsConfigSchema = z
  .strictObject({ ...dartsFields, batchNormEpsilon: batchNormEpsilon.default(1e-5) })
  .meta({ id: 'DartsSpace', description: 'A space of networks of two repeated cells, as DARTS has it.' })
type DartsConfig = z.infer<typeof dartsConfigSchema>

const darts = {
  family: 'darts',
  name: 'darts',
  input: [32, 32, 3],
  classes: 10,
  width: 16,
  cells: 8,
  nodes: 4,
  operations: [...dartsOperations],
  batchNormEpsilon: 1e-5,
} satisfies DartsConfig

const dartsPresets = {
  // What the authors search in.
  darts,
  // What they train the cells in that were found.
  'darts-cifar10': { ...darts, name: 'darts-cifar10', width: 36, cells: 20 },
  // The same cells, small enough to be searched in minutes on a processor; images of 28×28 or 32×32.
  'darts-mini': { ...darts, name: 'darts-mini', input: [28, 28, 1], width: 8, cells: 3 },
} satisfies Record<string, DartsConfig>

export { type DartsConfig, dartsConfigSchema, dartsFields, type DartsOperation, dartsPresets }
