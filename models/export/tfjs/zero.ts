import { refuses } from '../../../search-space/layers/refusal.ts'
import type { TfjsRule } from './rule.ts'

const zero: TfjsRule<'zero'> = refuses('it has no layer that makes zeros')

export { zero }
