// Bounds on what architectures cost, beside the target latency.

import * as z from 'zod'

/** Costs that every search knows of an architecture. */
const costNames = ['latencyMs', 'macs', 'parameters', 'weightBytes'] as const
type KnownCost = (typeof costNames)[number]

/** Before the name of a column of recorded costs, which simulations know. */
const RECORDED_COST = 'recorded:'
const MAX_BOUNDS = 8

const costNameSchema = z
  .string()
  .max(100)
  .regex(/^(latencyMs|macs|parameters|weightBytes|recorded:.+)$/, 'expected latencyMs, macs, parameters, weightBytes or recorded:COLUMN')
  .describe(
    'latencyMs: by the latency table; macs: multiply-accumulates for one image; weightBytes: of the parameters in float32; recorded:COLUMN: of recorded trainings, in simulations',
  )

const boundSchema = z
  .strictObject({
    cost: costNameSchema,
    atMost: z.number().positive().max(1e18).describe('what no architecture may cost more than'),
    weight: z
      .number()
      .min(0)
      .max(100)
      .default(1)
      .describe(
        'of proxyless-g and darts: factor of the penalty on the expected cost; of strategies that sample from a distribution: how much an architecture pays that is beyond the bound, where a hundred draws find none within it; others never look at one beyond',
      ),
  })
  .meta({ id: 'Bound', description: 'A bound on a cost of the architecture.' })
type BoundConfig = z.infer<typeof boundSchema>

const boundsSchema = z
  .array(boundSchema)
  .min(1)
  .max(MAX_BOUNDS)
  .refine((bounds) => new Set(bounds.map(({ cost }) => cost)).size === bounds.length, { message: 'expected one bound for each cost' })

export { type BoundConfig, boundsSchema, costNameSchema, costNames, type KnownCost, RECORDED_COST }
