// `worker-agent run`: joins a search, or a training from scratch, and works until it has ended.

import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { CliError, type ExitReason } from '../../command-line/exit-codes.ts'
import { numberIn } from '../../command-line/number-flags.ts'
import { openRecorded, recordedFlags } from '../../command-line/recorded-flags.ts'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import { MAX_LANES, parseAgentToken, parseTrainingToken, type ProblemCode, trainsWeights } from '../../protocol/index.ts'
import { createSpace, type SpaceConfig } from '../../search-space/index.ts'
import type { AgentEvent } from '../agent/agent.ts'
import { claimAgentId } from '../agent/agent-id.ts'
import { joinRecorded, RecordedSpaceError } from '../agent/join-recorded.ts'
import { joinSearch } from '../agent/join-search.ts'
import { joinTrainings } from '../agent/join-trainings.ts'
import type { AgentSummary } from '../agent/tally.ts'
import type { Backend } from '../../engine/backends/backends.ts'
import { createCoordinatorClient } from '../client/coordinator-client.ts'
import { CoordinatorError } from '../client/requests.ts'
import { createTrainingClient } from '../client/training-client.ts'
import { DatasetError } from '../../engine/datasets/index.ts'
import { CheckpointError } from '../../engine/training/checkpoint.ts'
import { LaneThreadError } from '../../engine/training/lanes/lane-threads.ts'
import { TrainingThreadError } from '../../engine/training/threads/thread-team.ts'
import { TrainerError } from '../../engine/training/trainer.ts'
import { physicalCores } from '../../engine/backends/physical-cores.ts'
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
} from '../../command-line/training-flags.ts'

const DEFAULT_COORDINATOR = 'http://127.0.0.1:8787'

/** Folder within the cache. */
const AGENT_IDS = 'agent-ids'
/** Times as fast as it was recorded, at most: a year in a second. */
const MAX_SPEED = 31_536_000

const reasons: Partial<
  Record<ProblemCode | 'bad-token' | 'bad-answer' | 'unknown-answer' | 'share-too-small' | 'space-mismatch', ExitReason>
> = {
  unauthorized: 'unauthorized',
  forbidden: 'unauthorized',
  'bad-token': 'usage',
  'not-found': 'notFound',
  conflict: 'conflict',
  'dataset-mismatch': 'conflict',
  unreadable: 'conflict',
  'version-mismatch': 'version',
  'unknown-answer': 'version',
  'share-too-small': 'usage',
  'space-mismatch': 'conflict',
}

/** A failure of the agent as the command line reports it. */
function cliError(error: unknown): unknown {
  const known = [
    CoordinatorError,
    TrainerError,
    DatasetError,
    CheckpointError,
    LaneThreadError,
    TrainingThreadError,
    RecordedSpaceError,
  ].some((type) => error instanceof type)
  if (!known) return error
  const { code, message } = error as Error & { code: string | null }
  return new CliError(reasons[code as keyof typeof reasons] ?? 'failure', message, error instanceof CheckpointError ? error.errors : [])
}

function describeEvent(event: AgentEvent): string {
  switch (event.kind) {
    case 'task': {
      const { task, result, outcome, trainMs, idleMs } = event
      const loss = trainsWeights(result) ? result.loss : null
      const figures = loss === null ? '' : `  loss ${loss.toFixed(3)}`
      return `task ${task.taskId}  ${task.work.kind}  ${outcome}  ${(trainMs / 1000).toFixed(2)} s training, ${(idleMs / 1000).toFixed(2)} s idle${figures}`
    }
    case 'refused':
      return `task ${event.taskId}  refused: ${event.message}`
    case 'failed':
      return `task ${event.taskId}  failed: ${event.message}`
    case 'abandoned':
      return `task ${event.taskId}  abandoned: its weights were those of a task that was refused`
    case 'backing-off':
      return `${event.inARow} tasks in a row came to nothing: waiting ${(event.delayMs / 1000).toFixed(0)} s`
    case 'waiting':
      return `waiting: ${event.reason}`
    case 'lease-lost':
      return `task ${event.taskId}  lease lost before training began`
    default:
      return event satisfies never
  }
}

/** A thread of a CPU backend trains on one core, a GPU is one device. */
function chooseThreads(flag: string | undefined, backend: Backend): number {
  if (flag === undefined) return backend.name === 'wasm' ? Math.min(physicalCores(), MAX_LANES) : 1
  const wanted = positiveInteger(flag, '--concurrency')
  if (wanted > MAX_LANES) throw new CliError('usage', `expected --concurrency to be at most ${MAX_LANES}, got ${wanted}`)
  return wanted
}

/** Of the flag or the environment; `@FILE`: those in the file. Throws CliError `usage`. */
function readTokens(terminal: Terminal, given: string): [string, ...string[]] {
  if (!given.startsWith('@')) return [given]
  const path = resolve(terminal.folder, given.slice(1))
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new CliError('usage', `cannot read the tokens of --token ${given}: ${(error as Error).message}`)
  }
  const [first, ...others] = [...new Set(text.split(/\s+/).filter((token) => token !== ''))]
  if (first === undefined) throw new CliError('usage', `expected tokens in ${path}, one a line; there is none`)
  const stranger = [first, ...others].find((token) => parseTrainingToken(token) === null)
  if (others.length > 0 && stranger !== undefined) {
    throw new CliError(
      'usage',
      `expected the tokens in ${path} to be those of trainings, got one that begins with "${stranger.slice(0, 8)}"`,
    )
  }
  return [first, ...others]
}

function summarise(agent: AgentSummary) {
  const wallMs = agent.trainMs + agent.idleMs
  return { ...agent, idleShare: wallMs > 0 ? agent.idleMs / wallMs : null }
}

function createRunCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'run',
      description:
        'Work for a coordinator until it has no more to do. With the token of a search: lease tasks, train sampled paths, push what was learnt. ' +
        'With the token of a training, or those of several: train the network from the last checkpoint on, then the next one. The default command.',
    },
    args: {
      coordinator: {
        type: 'string',
        valueHint: 'URL',
        description: `coordinator (env GATEHOUSE_COORDINATOR, default ${DEFAULT_COORDINATOR})`,
      },
      token: {
        type: 'string',
        valueHint: 'TOKEN|@FILE',
        description:
          'agent token of the search or training (env GATEHOUSE_AGENT_TOKEN); @FILE: those of several trainings on the same data, one a line',
      },
      ...dataArgs,
      data: { ...dataArgs.data, required: false },
      ...backendArgs,
      concurrency: {
        type: 'string',
        valueHint: 'N',
        description:
          'threads of this agent, each trains paths of its own (of a training: its part of each mini-batch); they share one lease, one copy of the weights and of the data (default: as many as physical cores on the wasm backend, else 1)',
      },
      ...accumulateArg,
      ...recordedFlags,
      recorded: { ...recordedFlags.recorded, description: `instead of data, ${recordedFlags.recorded.description}: nothing is trained` },
      space: { ...recordedFlags.space, description: `${recordedFlags.space.description} (default: that of the search)` },
      speed: {
        type: 'string',
        valueHint: 'N',
        description: 'of recorded trainings: wait for their recorded seconds, N times as fast (default: no waiting)',
      },
      name: { type: 'string', valueHint: 'NAME', description: 'shown in the status', default: hostname() },
      quiet: { type: 'boolean', description: 'no line per task', default: false },
      json: { type: 'boolean', description: 'at the end, print one JSON object to standard output', default: false },
    },
    async run({ args }) {
      const coordinator = args.coordinator ?? terminal.env['GATEHOUSE_COORDINATOR'] ?? DEFAULT_COORDINATOR
      const given = args.token ?? terminal.env['GATEHOUSE_AGENT_TOKEN']
      if (given === undefined) {
        throw new CliError(
          'usage',
          'no token: pass --token or set GATEHOUSE_AGENT_TOKEN; `gatehouse search create` and `gatehouse training create` print one',
        )
      }
      terminal.interrupted.addEventListener('abort', () => terminal.note('stopping: leases are given back …'))
      const stop = terminal.interrupted
      const tokens = readTokens(terminal, given)
      const [token] = tokens
      const isTraining = parseTrainingToken(token) !== null
      const claimId = (owner: string) => claimAgentId(join(resolve(terminal.folder, args.cache), AGENT_IDS), owner, args.name)
      const onEvent = (event: AgentEvent) => {
        if (!args.quiet) terminal.note(describeEvent(event))
      }
      const { data, recorded } = args
      try {
        if (recorded !== undefined) {
          if (data !== undefined) throw new CliError('usage', 'expected either --data or --recorded')
          if (isTraining) throw new CliError('usage', 'recorded trainings answer searches; this is the token of a training')
          const speed = args.speed === undefined ? Number.POSITIVE_INFINITY : numberIn('speed', args.speed, 1e-3, MAX_SPEED, false)
          const open = (searched: SpaceConfig) =>
            openRecorded(resolve(terminal.folder, recorded), { ...args, space: args.space ?? searched })
          const agentId = claimId(parseAgentToken(token)?.searchId ?? '')
          const summary = summarise(
            await joinRecorded({ coordinator, token, agentId, name: args.name, open, speed, stop, onNote: terminal.note, onEvent }),
          )
          printResult(terminal, args.json, summary, () => `${summary.end} after ${summary.tasks} tasks, looked up`)
          if (summary.end === 'interrupted') throw stop.reason
          return
        }
        if (data === undefined) throw new CliError('usage', 'no data: pass --data, or --recorded for trainings that others have done')
        const backend = await openChosenBackend(terminal, args)
        const connection = { coordinator, token, signal: terminal.interrupted }
        const asked = isTraining ? createTrainingClient(connection) : createCoordinatorClient(connection)
        const dataset = await openChosenDataset(
          terminal,
          { data, cache: args.cache, bits: args.bits },
          async () => createSpace(await asked.readSpace()).input,
          () => asked.readBits(),
        )
        const accumulate = parseAccumulate(args.accumulate)
        const common = { coordinator, name: args.name, device: deviceName(backend), dataset, accumulate } as const
        if (isTraining) {
          const threads = parseThreads(args.concurrency ?? 'auto', '--concurrency')
          const onNote = (line: string) => (args.quiet ? undefined : terminal.note(line))
          const seats = tokens.map((each) => ({ token: each, agentId: claimId(parseTrainingToken(each)?.trainingId ?? '') }))
          const trainings = await joinTrainings({ ...common, seats, backend, threads, stop, onNote })
          const [only, ...others] = trainings
          printResult(terminal, args.json, others.length > 0 ? { trainings } : only, () =>
            trainings
              .map(({ trainingId, end, steps }) => `training ${trainingId}: ${end}; ${steps} mini-batches were trained here`)
              .join('\n'),
          )
          if (trainings.some(({ end }) => end === 'interrupted')) throw stop.reason
          return
        }
        const threads = chooseThreads(args.concurrency, backend)
        const agentId = claimId(parseAgentToken(token)?.searchId ?? '')
        const options = {
          ...common,
          token,
          agentId,
          backend,
          allowSoftwareAdapter: args['software-gpu'],
          threads,
          stop,
          onNote: terminal.note,
          onEvent,
        }
        const summary = summarise(await joinSearch(options))
        printResult(terminal, args.json, summary, () => `${summary.end} after ${summary.tasks} tasks, ${summary.images} images`)
        if (summary.end === 'interrupted') throw stop.reason
      } catch (error) {
        throw terminal.interrupted.aborted ? terminal.interrupted.reason : cliError(error)
      }
    },
  }) as CommandDef
}

export { createRunCommand }
