// Settings of the cell space of NAS-Bench-201 (Dong and Yang 2020, arXiv 2001.00326): one cell, a graph in which every node sums
// what its edges make of all nodes before it, repeated in three stages; what each edge computes is the same in all cells.

import * as z from 'zod'
import { MAX_CELLS, mbconvFields, width } from '../mbconv/config.ts'

/** Edges of one cell, n (n − 1) / 2; more nodes than this make supernets that nobody trains. */
const MAX_NODES = 8
const MAX_STAGES = 8

const cellOperations = ['none', 'skip_connect', 'nor_conv_1x1', 'nor_conv_3x3', 'avg_pool_3x3'] as const
type CellOperation = (typeof cellOperations)[number]

const { name, input, classes, batchNormEpsilon } = mbconvFields

const cellFields = {
  family: z.literal('cell'),
  name,
  input,
  classes,
  width: width.describe('channels of the stem and of the first stage; each further stage has twice as many'),
  stages: z.int().min(1).max(MAX_STAGES).describe('groups of cells of one width, with a residual block of stride 2 between them'),
  cells: z.int().min(1).max(MAX_CELLS).describe('cells of each stage'),
  nodes: z.int().min(2).max(MAX_NODES).describe('nodes of a cell, its input included'),
  operations: z.array(z.enum(cellOperations)).min(1).describe('operations that an edge chooses from, in this order'),
  batchNormEpsilon,
}

const cellConfigSchema = z
  .strictObject({ ...cellFields, batchNormEpsilon: batchNormEpsilon.default(1e-5) })
  .meta({ id: 'CellSpace', description: 'A space of networks of one repeated cell, as NAS-Bench-201 has it.' })
type CellConfig = z.infer<typeof cellConfigSchema>

const cellPresets = {
  // Operations in the order of the authors' code.
  'nas-bench-201': {
    family: 'cell',
    name: 'nas-bench-201',
    input: [32, 32, 3],
    classes: 10,
    width: 16,
    stages: 3,
    cells: 5,
    nodes: 4,
    operations: ['none', 'skip_connect', 'nor_conv_1x1', 'nor_conv_3x3', 'avg_pool_3x3'],
    batchNormEpsilon: 1e-5,
  },
  // The same cell, small enough to be searched in minutes on a processor.
  'cell-mini': {
    family: 'cell',
    name: 'cell-mini',
    input: [28, 28, 1],
    classes: 10,
    width: 8,
    stages: 2,
    cells: 1,
    nodes: 4,
    operations: ['none', 'skip_connect', 'nor_conv_1x1', 'nor_conv_3x3', 'avg_pool_3x3'],
    batchNormEpsilon: 1e-5,
  },
} satisfies Record<string, CellConfig>

export { type CellConfig, cellConfigSchema, cellFields, type CellOperation, cellPresets }
