// Settings that strategies have in common which evaluate architectures with the weights of a trained supernet.

import * as z from 'zod'

const sharedWeightFields = {
  images: z
    .int()
    .min(1)
    .default(1000)
    .describe('images of the architecture share that each architecture is evaluated on, the same for all; rounded to whole mini-batches'),
  candidatesPerTask: z.int().min(1).max(1000).default(5).describe('architectures that one task evaluates'),
}

export { sharedWeightFields }
