// Σ |W · ∂L/∂W|: how much the loss would feel each weight's removal (Lee, Ajanthan and Torr 2019, SNIP, equation 4).

import { lossGradients } from './loss-gradients.ts'
import type { Score } from './score.ts'
import { sumOver } from './sums.ts'

const snip: Score = async (network) => sumOver((await lossGradients(network)).values(), (weight, gradient) => Math.abs(weight * gradient))

export { snip }
