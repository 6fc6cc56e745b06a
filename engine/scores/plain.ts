// Σ W · ∂L/∂W, with its sign (Mozer and Smolensky 1988). Filters in front of a batch-norm add next to nothing: the loss does not change
// with their length.

import { lossGradients } from './loss-gradients.ts'
import type { Score } from './score.ts'
import { sumOver } from './sums.ts'

const plain: Score = async (network) => sumOver((await lossGradients(network)).values(), (weight, gradient) => weight * gradient)

export { plain }
