// `worker-agent run`: joins a search, or a training from scratch, and works until it has ended.

import { hostname } from 'node:os'
import { type CommandDef, defineCommand } from 'citty'
import { CliError, type ExitReason } from '../../command-line/exit-codes.ts'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import { parseTrainingToken, type ProblemCode } from '../../coordinator/protocol/index.ts'
import { createSpace } from '../../search-space/index.ts'
import { AgentError, type AgentEvent } from '../agent/agent.ts'
import { AgentThreadError, runAgentThreads } from '../agent/agent-threads.ts'
import { type AgentSummary, joinSearch } from '../agent/join-search.ts'
import { joinTraining } from '../agent/join-training.ts'
import type { Backend } from '../backends/backends.ts'
import { createCoordinatorClient } from '../client/coordinator-client.ts'
import { CoordinatorError } from '../client/requests.ts'
import { createTrainingClient } from '../client/training-client.ts'
import { DatasetError } from '../datasets/index.ts'
import { CheckpointError } from '../training/checkpoint.ts'
import { TrainingThreadError } from '../training/threads/thread-team.ts'
import { TrainerError } from '../training/trainer.ts'
import { physicalCores } from '../backends/physical-cores.ts'
import {
  accumulateArg,
  backendArgs,
  dataArgs,
  deviceName,
  openChosenBackend,
  openChosenDataset,
  parseAccumulate,
  parseThreads,
  positiveInteger,
} from './shared-flags.ts'

const DEFAULT_COORDINATOR = 'http://127.0.0.1:8787'
const MAX_CONCURRENCY = 256

const reasons: Partial<Record<ProblemCode | 'bad-token' | 'bad-answer' | 'share-too-small', ExitReason>> = {
  unauthorized: 'unauthorized',
  forbidden: 'unauthorized',
  'bad-token': 'usage',
  'not-found': 'notFound',
  conflict: 'conflict',
  'dataset-mismatch': 'conflict',
  'share-too-small': 'usage',
}

/** A failure of the agent as the command line reports it. */
function cliError(error: unknown): unknown {
  const known = [CoordinatorError, TrainerError, DatasetError, CheckpointError, AgentError, AgentThreadError, TrainingThreadError].some(
    (type) => error instanceof type,
  )
  if (!known) return error
  const { code, message } = error as Error & { code: string | null }
  return new CliError(reasons[code as keyof typeof reasons] ?? 'failure', message)
}

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

/** A CPU backend trains on one core, a GPU has one agent. */
function chooseConcurrency(flag: string | undefined, backend: Backend): number {
  if (flag === undefined) return backend.name === 'wasm' ? physicalCores() : 1
  const wanted = positiveInteger(flag, '--concurrency')
  if (wanted > MAX_CONCURRENCY) throw new CliError('usage', `expected --concurrency to be at most ${MAX_CONCURRENCY}, got ${wanted}`)
  return wanted
}

function summarise(agents: readonly AgentSummary[]) {
  const sum = (pick: (agent: AgentSummary) => number) => agents.reduce((total, agent) => total + pick(agent), 0)
  const trainMs = sum((agent) => agent.trainMs)
  const idleMs = sum((agent) => agent.idleMs)
  return {
    end: agents[0]?.end ?? 'interrupted',
    agentIds: agents.map((agent) => agent.agentId),
    tasks: sum((agent) => agent.tasks),
    duplicates: sum((agent) => agent.duplicates),
    stale: sum((agent) => agent.stale),
    refused: sum((agent) => agent.refused),
    images: sum((agent) => agent.images),
    trainMs,
    idleMs,
    idleShare: trainMs + idleMs > 0 ? idleMs / (trainMs + idleMs) : null,
  }
}

function createRunCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'run',
      description:
        'Work for a coordinator until it has no more to do. With the token of a search: lease tasks, train sampled paths, push what was learnt. ' +
        'With the token of a training: train the network from the last checkpoint on. The default command.',
    },
    args: {
      coordinator: {
        type: 'string',
        valueHint: 'URL',
        description: `coordinator (env GATEHOUSE_COORDINATOR, default ${DEFAULT_COORDINATOR})`,
      },
      token: { type: 'string', valueHint: 'TOKEN', description: 'agent token of the search or training (env GATEHOUSE_AGENT_TOKEN)' },
      ...dataArgs,
      ...backendArgs,
      concurrency: {
        type: 'string',
        valueHint: 'N',
        description:
          'agents in this process, each in a thread of its own; of a training, threads that share each mini-batch (default: as many as physical cores on the wasm backend, else 1)',
      },
      ...accumulateArg,
      name: { type: 'string', valueHint: 'NAME', description: 'shown in the status', default: hostname() },
      quiet: { type: 'boolean', description: 'no line per task', default: false },
      json: { type: 'boolean', description: 'at the end, print one JSON object to standard output', default: false },
    },
    async run({ args }) {
      const coordinator = args.coordinator ?? terminal.env['GATEHOUSE_COORDINATOR'] ?? DEFAULT_COORDINATOR
      const token = args.token ?? terminal.env['GATEHOUSE_AGENT_TOKEN']
      if (token === undefined) {
        throw new CliError(
          'usage',
          'no token: pass --token or set GATEHOUSE_AGENT_TOKEN; `gatehouse search create` and `gatehouse training create` print one',
        )
      }
      terminal.interrupted.addEventListener('abort', () => terminal.note('stopping: leases are given back …'))
      try {
        const backend = await openChosenBackend(terminal, args.backend, args['software-gpu'])
        const connection = { coordinator, token, signal: terminal.interrupted }
        const isTraining = parseTrainingToken(token) !== null
        const dataset = await openChosenDataset(terminal, args, async () =>
          isTraining
            ? createSpace(await createTrainingClient(connection).readSpace()).input
            : (await createCoordinatorClient(connection).readSpace()).input,
        )
        const accumulate = parseAccumulate(args.accumulate)
        const common = { coordinator, token, name: args.name, device: deviceName(backend), dataset, accumulate } as const
        const stop = terminal.interrupted
        if (isTraining) {
          const threads = parseThreads(args.concurrency ?? 'auto', '--concurrency')
          const onNote = (line: string) => (args.quiet ? undefined : terminal.note(line))
          const summary = await joinTraining({ ...common, backend, threads, stop, onNote })
          printResult(terminal, args.json, summary, () => `${summary.end}; ${summary.steps} mini-batches were trained here`)
          if (summary.end === 'interrupted') throw stop.reason
          return
        }
        const count = chooseConcurrency(args.concurrency, backend)
        const show = (prefix: string) => (event: AgentEvent) => {
          if (!args.quiet) terminal.note(`${prefix}${describeEvent(event)}`)
        }
        const agents =
          count === 1
            ? [await joinSearch({ ...common, backend, stop, onNote: terminal.note, onEvent: show('') })]
            : await runAgentThreads({
                count,
                setup: { ...common, backend: backend.name, allowSoftwareAdapter: args['software-gpu'] },
                stop,
                onNote: (thread, line) => terminal.note(`${thread}  ${line}`),
                onEvent: (thread, event) => show(`${thread}  `)(event),
              })
        const summary = summarise(agents)
        printResult(terminal, args.json, summary, () => `${summary.end} after ${summary.tasks} tasks, ${summary.images} images`)
        if (summary.end === 'interrupted') throw stop.reason
      } catch (error) {
        throw terminal.interrupted.aborted ? terminal.interrupted.reason : cliError(error)
      }
    },
  }) as CommandDef
}

export { createRunCommand }
