// `worker-agent`: joins a search and works until it has ended.

import { hostname } from 'node:os'
import { type CommandDef, defineCommand } from 'citty'
import { CliError, type ExitReason } from '../../command-line/exit-codes.ts'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import { planShards, type ProblemCode } from '../../coordinator/protocol/index.ts'
import { createSpace } from '../../search-space/index.ts'
import { AgentError, type AgentEvent, runAgent } from '../agent/agent.ts'
import { createWeightExchange } from '../agent/weight-exchange.ts'
import { CoordinatorError, createCoordinatorClient } from '../client/coordinator-client.ts'
import { createTrainer, TrainerError } from '../training/trainer.ts'
import { backendArgs, dataArgs, deviceName, openChosenBackend, openChosenDataset } from './shared-flags.ts'

const DEFAULT_COORDINATOR = 'http://127.0.0.1:8787'
/** After a stop, requests under way get this long before they are cut off. */
const STOP_GRACE_MS = 8000

const reasons: Partial<Record<ProblemCode | 'bad-token' | 'bad-answer', ExitReason>> = {
  unauthorized: 'unauthorized',
  forbidden: 'unauthorized',
  'bad-token': 'usage',
  'not-found': 'notFound',
  conflict: 'conflict',
  'dataset-mismatch': 'conflict',
}

/** A failure of the agent as the command line reports it. */
function cliError(error: unknown): unknown {
  if (error instanceof CoordinatorError) return new CliError(reasons[error.code] ?? 'failure', error.message)
  if (error instanceof TrainerError) return new CliError('usage', error.message)
  if (error instanceof AgentError) return new CliError('failure', error.message)
  return error
}

type Tally = { tasks: number; duplicates: number; stale: number; refused: number; images: number; trainMs: number; idleMs: number }

function describeEvent(event: AgentEvent): string {
  switch (event.kind) {
    case 'task': {
      const { task, result, outcome, trainMs, idleMs } = event
      const loss = result.kind === 'trainWeights' ? result.loss : null
      const figures = loss === null ? '' : `  loss ${loss.toFixed(3)}`
      return `task ${task.taskId}  ${task.work.kind}  ${outcome}  ${(trainMs / 1000).toFixed(2)} s training, ${(idleMs / 1000).toFixed(2)} s idle${figures}`
    }
    case 'refused':
      return `task ${event.taskId}  refused: ${event.message}`
    case 'waiting':
      return `waiting: ${event.reason}`
    case 'lease-lost':
      return `task ${event.taskId}  lease lost before training began`
    default:
      return event satisfies never
  }
}

function count(tally: Tally, event: AgentEvent): void {
  if (event.kind === 'refused') tally.refused += 1
  if (event.kind !== 'task') return
  tally.tasks += 1
  tally.duplicates += event.outcome === 'duplicate' ? 1 : 0
  tally.stale += event.outcome === 'stale' ? 1 : 0
  tally.trainMs += event.trainMs
  tally.idleMs += event.idleMs
  tally.images += event.result.kind === 'trainWeights' ? event.result.images : 0
}

function createRunCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'run',
      description: 'Join a search: lease tasks, train sampled paths, push what was learnt, until the search ends. The default command.',
    },
    args: {
      coordinator: {
        type: 'string',
        valueHint: 'URL',
        description: `coordinator (env GATEHOUSE_COORDINATOR, default ${DEFAULT_COORDINATOR})`,
      },
      token: { type: 'string', valueHint: 'TOKEN', description: 'agent token of the search (env GATEHOUSE_AGENT_TOKEN)' },
      ...dataArgs,
      ...backendArgs,
      name: { type: 'string', valueHint: 'NAME', description: 'shown in the status', default: hostname() },
      quiet: { type: 'boolean', description: 'no line per task', default: false },
      json: { type: 'boolean', description: 'at the end, print one JSON object to standard output', default: false },
    },
    async run({ args }) {
      const coordinator = args.coordinator ?? terminal.env['GATEHOUSE_COORDINATOR'] ?? DEFAULT_COORDINATOR
      const token = args.token ?? terminal.env['GATEHOUSE_AGENT_TOKEN']
      if (token === undefined)
        throw new CliError('usage', 'no token: pass --token or set GATEHOUSE_AGENT_TOKEN; `gatehouse search create` prints one')
      const cut = new AbortController()
      terminal.interrupted.addEventListener('abort', () => {
        terminal.note('stopping: the lease is given back …')
        setTimeout(() => cut.abort(terminal.interrupted.reason), STOP_GRACE_MS).unref()
      })
      try {
        let unreachable = false
        const client = createCoordinatorClient({
          coordinator,
          token,
          signal: cut.signal,
          onRetry: (message) => {
            if (!unreachable) terminal.note(`coordinator cannot be reached (${message}); trying until it can`)
            unreachable = true
            if (terminal.interrupted.aborted) cut.abort(terminal.interrupted.reason)
          },
        })
        const backend = await openChosenBackend(terminal, args.backend, args['software-gpu'])
        const dataset = await openChosenDataset(terminal, args.data, args.cache)
        const { name, fingerprint, shape, classes, train } = dataset
        const registration = await client.register({
          name: args.name.slice(0, 200),
          device: deviceName(backend),
          backend: backend.name,
          dataset: { name, fingerprint, shape: [...shape], classes, trainImages: train.count },
        })
        const space = createSpace(registration.space)
        terminal.note(`search   ${registration.searchId}: ${registration.config.name}, space ${space.name}; agent ${registration.agentId}`)
        const trainer = createTrainer({ backend, dataset, space, config: registration.config })
        const { encoding, shardBytes } = registration.config.weights
        const exchange = createWeightExchange({
          client,
          agent: registration,
          encoding,
          plan: planShards(space, shardBytes),
          weights: trainer.weights,
        })
        const tally: Tally = { tasks: 0, duplicates: 0, stale: 0, refused: 0, images: 0, trainMs: 0, idleMs: 0 }
        const end = await runAgent({
          client,
          registration,
          trainer,
          exchange,
          stop: terminal.interrupted,
          onEvent: (event) => {
            unreachable = false
            count(tally, event)
            if (!args.quiet) terminal.note(describeEvent(event))
          },
        })
        const wallMs = tally.trainMs + tally.idleMs
        const summary = {
          agentId: registration.agentId,
          end: end.kind === 'finished' ? end.phase : end.kind,
          ...tally,
          idleShare: wallMs > 0 ? tally.idleMs / wallMs : null,
        }
        printResult(terminal, args.json, summary, () => `${summary.end} after ${tally.tasks} tasks, ${tally.images} images`)
        if (end.kind === 'interrupted') throw terminal.interrupted.reason
      } catch (error) {
        throw terminal.interrupted.aborted ? terminal.interrupted.reason : cliError(error)
      }
    },
  }) as CommandDef
}

export { createRunCommand }
