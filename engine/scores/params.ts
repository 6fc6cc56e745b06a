// Number of parameters: what any other score has to be better than.

import type { Score } from './score.ts'

const params: Score = async ({ parameters }) => parameters

export { params }
