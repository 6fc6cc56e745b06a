// The optimiser that a recipe asks for.

import type { Recipe } from '../../protocol/index.ts'
import { createAdamW, createSgd, type Optimiser } from '../executor/index.ts'

/** Of PyTorch's AdamW. */
const DEFAULT_ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }

function createNesterov({ momentum, weightDecay }: Recipe): Optimiser {
  const { apply, readVelocity, writeVelocity, clear } = createSgd({ momentum, nesterov: true, weightDecay })
  return { apply, moments: { velocities: { read: readVelocity, write: writeVelocity } }, dispose: clear }
}

const optimisers = {
  sgd: createNesterov,
  adamw: ({ adam = DEFAULT_ADAM, weightDecay }) => createAdamW({ ...adam, weightDecay }),
} satisfies Record<NonNullable<Recipe['optimiser']>, (recipe: Recipe) => Optimiser>

function createOptimiser(recipe: Recipe): Optimiser {
  return optimisers[recipe.optimiser ?? 'sgd'](recipe)
}

export { createOptimiser }
