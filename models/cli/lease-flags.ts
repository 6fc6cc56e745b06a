// How agents have a training that a coordinator keeps: for how long without a word, and how often they deliver a checkpoint.

import type { ArgsDef } from 'citty'
import { numberIn } from '../../command-line/number-flags.ts'
import type { TrainingSpec } from '../../protocol/index.ts'

const SECOND_MS = 1000
const MINUTE_MS = 60_000

const leaseFlags = {
  lease: { type: 'string', valueHint: 'SECONDS', description: 'an agent that is silent for so long is given up', default: '60' },
  'checkpoint-minutes': {
    type: 'string',
    valueHint: 'X',
    description: 'most minutes between checkpoints; each epoch ends with one',
    default: '5',
  },
} as const satisfies ArgsDef

/** Throws CliError `usage`. */
function readLeaseFlags(args: { readonly [K in keyof typeof leaseFlags]: string }): Pick<TrainingSpec, 'leaseMs' | 'checkpointMs'> {
  return {
    leaseMs: Math.round(numberIn('lease', args.lease, 1, 3600, false) * SECOND_MS),
    checkpointMs: Math.round(numberIn('checkpoint-minutes', args['checkpoint-minutes'], 0, 1440, false) * MINUTE_MS),
  }
}

export { leaseFlags, readLeaseFlags }
