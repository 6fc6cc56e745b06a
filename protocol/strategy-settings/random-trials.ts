import * as z from 'zod'
import { trialFields } from './trials.ts'

const randomTrialsSchema = z
  .strictObject({ name: z.literal('random'), ...trialFields })
  .meta({ id: 'RandomTrials', description: 'Random architectures within the target latency, each trained by itself.' })
type RandomTrialsConfig = z.infer<typeof randomTrialsSchema>

export { type RandomTrialsConfig, randomTrialsSchema }
