// Latency tables as they are stored, without their entries: a search keeps this much of the one that it has pinned.

import * as z from 'zod'

const storedTableFields = {
  name: z.string(),
  device: z.strictObject({ name: z.string(), os: z.string().optional() }),
  runtime: z.strictObject({
    name: z.string(),
    version: z.string().optional(),
    threads: z.int().optional(),
    browser: z.string().optional(),
  }),
  batch: z.int(),
  inputShape: z.tuple([z.int(), z.int(), z.int()]),
  measuredAt: z.string().optional(),
  fixedMs: z.number(),
  correction: z.strictObject({ offsetMs: z.number(), factor: z.number(), networks: z.int() }).optional(),
  quality: z
    .strictObject({
      rounds: z.int(),
      halfWidthPct: z.number().optional(),
      worstHalfWidthPct: z.number().optional(),
      droppedPct: z.number(),
      driftPct: z.number(),
      waitedPct: z.number().optional(),
    })
    .optional(),
}

export { storedTableFields }
