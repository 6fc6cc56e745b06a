// Multiply-accumulates for one image: what any other score has to be better than.

import type { Score } from './score.ts'

const macs: Score = async (network) => network.macs

export { macs }
