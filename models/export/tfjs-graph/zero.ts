import { refuses } from '../../../search-space/layers/refusal.ts'
import type { GraphRule } from './rule.ts'

const zero: GraphRule<'zero'> = refuses('they have no operation that makes zeros of another size than its input')

export { zero }
