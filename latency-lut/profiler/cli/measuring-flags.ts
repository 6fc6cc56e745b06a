// Flags of every command that measures on this machine, and what they stand for.

import type { ArgsDef } from 'citty'
import { CliError } from '../../../command-line/exit-codes.ts'
import type { Terminal } from '../../../command-line/terminal.ts'
import { DEFAULT_PRECISION } from '../limits.ts'
import { DEFAULT_BATCH, DEFAULT_BUDGET_MS } from '../node/limits.ts'
import { positiveNumber, wholeNumber } from './quantities.ts'
import { type Runtime, type RuntimeName, runtimeNames, RuntimeUnavailableError } from '../runtimes/runtime.ts'

const MAX_BATCH = 4096
const MAX_BUDGET_S = 86_400
const MAX_SEED = 0xffffffff
const MAX_THREADS = 1024
const MAX_PRECISION_PCT = 100

const runtimeFlags = {
  runtime: { type: 'enum', options: [...runtimeNames], default: 'tfjs-wasm', description: 'in which the network will run' },
  threads: { type: 'string', valueHint: 'N', default: '1', description: 'of the processor; more than one with onnxruntime only' },
  provider: {
    type: 'string',
    valueHint: 'NAME',
    description: "onnxruntime's execution provider, such as cpu or cuda, where it is installed (default: cpu)",
  },
} as const satisfies ArgsDef

const samplingFlags = {
  budget: {
    type: 'string',
    valueHint: 'SECONDS',
    default: String(DEFAULT_BUDGET_MS / 1000),
    description: 'at most this long, or five rounds',
  },
  precision: {
    type: 'string',
    valueHint: 'PERCENT',
    default: String(DEFAULT_PRECISION * 100),
    description: "enough once every median's 95 % interval is within this share of it, to both sides",
  },
  seed: { type: 'string', valueHint: 'N', default: '1', description: 'of weights, images and the order of measuring' },
} as const satisfies ArgsDef

const batchFlag = {
  batch: { type: 'string', valueHint: 'N', default: String(DEFAULT_BATCH), description: 'images in one run' },
} as const satisfies ArgsDef

const measuringFlags = { ...runtimeFlags, ...batchFlag, ...samplingFlags } as const satisfies ArgsDef

/** Throws CliError `usage`. */
function readBatch(text: string): number {
  return wholeNumber('batch', text, 1, MAX_BATCH)
}

/** Throws CliError `usage`. */
function readSampling(args: { readonly budget: string; readonly precision: string; readonly seed: string }) {
  return {
    budgetMs: positiveNumber('budget', args.budget, MAX_BUDGET_S) * 1000,
    precision: positiveNumber('precision', args.precision, MAX_PRECISION_PCT) / 100,
    seed: wholeNumber('seed', args.seed, 0, MAX_SEED),
  }
}

type RuntimeArgs = { readonly runtime: string; readonly threads: string; readonly provider?: string | undefined }

/** Throws CliError `usage`. */
function readThreads({ threads }: Pick<RuntimeArgs, 'threads'>): number {
  return wholeNumber('threads', threads, 1, MAX_THREADS)
}

/** Opens a runtime and says what it is. Throws CliError `failure` with the reason if this machine does not have it. */
async function openNamedRuntime(terminal: Terminal, args: RuntimeArgs): Promise<Runtime> {
  const threads = readThreads(args)
  // Runtimes take a third of a second to load: only what measures waits for them.
  const { openRuntime } = await import('../runtimes/index.ts')
  try {
    const runtime = await openRuntime(args.runtime as RuntimeName, { threads, provider: args.provider })
    terminal.note(`runtime: ${runtime.description}`)
    return runtime
  } catch (error) {
    if (error instanceof RuntimeUnavailableError) throw new CliError('failure', error.message)
    throw error
  }
}

export { measuringFlags, openNamedRuntime, readBatch, readSampling, readThreads, samplingFlags }
