// `gatehouse training …`: trainings from scratch that a coordinator hands to agents.

import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type ArgsDef, type CommandDef, defineCommand } from 'citty'
import { repeatedValues } from '../../command-line/dispatch.ts'
import { CliError } from '../../command-line/exit-codes.ts'
import { typedCommand } from '../../command-line/installation.ts'
import { readJsonFile } from '../../command-line/json-file.ts'
import { printResult, type Terminal } from '../../command-line/terminal.ts'
import { printable, renderTable } from '../../command-line/text-layout.ts'
import type { CoordinatorClient, PhaseChange } from '../../command-line/coordinator-client.ts'
import { createTokenCommands } from '../../command-line/token-commands.ts'
import { connect, connectionFlags } from '../../command-line/connection.ts'
import { idsOf, renderUnreadable, unreadableJson } from '../../command-line/listed.ts'
import { printCount, printShare, printTime } from '../../command-line/quantities.ts'
import {
  encodeSafetensors,
  fieldErrors,
  MODEL_FORMAT,
  modelTensors,
  trainingIdSchema,
  type TrainingInput,
  type TrainingSpecInput,
  trainingSpecSchema,
  type TrainingStatus,
} from '../../protocol/index.ts'
import { createSpace, parseArchitecture, type Path, printArchitecture, type Space } from '../../search-space/index.ts'
import type { Except } from '../../engine/training/initial-weights.ts'
import { readInitialWeights } from '../initial-weights.ts'
import { exceptFlag, parseExcept } from './except-flag.ts'
import { DESCRIPTION_FILE, ModelFolderError, readModelFolder, writeModelFolder } from '../model-folder.ts'
import { decodeModelWeights, NetworkWeightsError, teacherFingerprint } from '../../engine/training/network-weights.ts'
import { numberIn } from '../../command-line/number-flags.ts'
import { intervalFlag, readInterval } from './interval-flag.ts'
import { leaseFlags, readLeaseFlags } from './lease-flags.ts'
import { buildRecipe, recipeFlags } from './recipe-flags.ts'
import { renderTraining } from './render-training.ts'
import { networkFlags, readNetwork } from './space-flags.ts'
import { watchTraining } from './watch-training.ts'

const MAX_SEED = 0xffffffff

const trainingArg = {
  id: { type: 'positional', required: true, description: 'id of the training, the beginning of it, or "latest"' },
} as const satisfies ArgsDef

const createFlags = {
  name: { type: 'string', valueHint: 'NAME', description: 'for people (default: the architecture)' },
  ...networkFlags,
  dataset: { type: 'string', valueHint: 'NAME', description: 'what the data are called', required: true },
  fingerprint: {
    type: 'string',
    valueHint: 'SHA256',
    description: "of the data; agents with others are refused (default: the first agent's)",
  },
  bits: { type: 'enum', options: ['8', '16'], description: 'of a value of an image; all agents open their data so (default: 8)' },
  ...recipeFlags,
  weights: {
    type: 'string',
    valueHint: 'FILE',
    description: "start from the weights of a safetensors file with the search's keys, instead of random ones",
  },
  ...exceptFlag,
  teacher: { type: 'string', valueHint: 'FOLDER', description: 'learn from this trained network as well; see distillation in the recipe' },
  seed: { type: 'string', valueHint: 'N', description: 'seed of weights, order and augmentation', default: '0' },
  'share-seed': { type: 'string', valueHint: 'N', description: "seed of the validation share: that of the search (default: --seed's)" },
  test: { type: 'boolean', description: 'do not evaluate on the test split at the end', default: true },
  ...leaseFlags,
  ...connectionFlags,
} as const satisfies ArgsDef

/** Id for an id, the beginning of an id, or `latest`. Throws CliError `notFound`, or `usage` where several fit. */
async function resolveTraining(client: CoordinatorClient, text: string): Promise<string> {
  if (trainingIdSchema.safeParse(text).success) return text
  const ids = idsOf(await client.listTrainings(), ({ trainingId }) => trainingId)
  const fitting = text === 'latest' ? ids.slice(0, 1) : ids.filter((id) => text !== '' && id.startsWith(text))
  const [only] = fitting
  if (only === undefined)
    throw new CliError('notFound', `there is no training "${text}" at ${client.url}; "gatehouse training list" lists them`)
  if (fitting.length > 1) throw new CliError('usage', `${fitting.length} trainings have an id that starts with "${text}"`)
  return only
}

function createTrainingCommands(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'training', description: 'Train networks from scratch on agents, and fetch what they trained.' },
    subCommands: {
      create: createCommand(terminal),
      list: listCommand(terminal),
      status: statusCommand(terminal),
      watch: watchCommand(terminal),
      download: downloadCommand(terminal),
      pause: phaseCommand(
        terminal,
        'pause',
        'Hand a training out no more until it is resumed. The agent that has it goes on to its next checkpoint.',
      ),
      resume: phaseCommand(
        terminal,
        'resume',
        'Go on with a training that was paused, or, from its last checkpoint, with one that was stopped or diverged.',
      ),
      stop: phaseCommand(terminal, 'stop', 'End a training where it is. Its last checkpoint stays until it is deleted.'),
      delete: deleteCommand(terminal),
      token: createTokenCommands(terminal, { name: 'training', resolve: resolveTraining }),
    },
  }) as CommandDef
}

function createCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'create',
      description:
        'Start a training that agents do: one at a time, the next going on from the last checkpoint. Prints its id, its token and the command that starts an agent.',
    },
    args: createFlags,
    async run({ args, rawArgs }) {
      const file = args.recipe === undefined ? undefined : await readJsonFile(resolve(terminal.folder, args.recipe))
      const recipe = buildRecipe(file, args, repeatedValues(rawArgs, createFlags, 'set'))
      const { ref, space, path } = readNetwork(terminal, args)
      const seed = numberIn('seed', args.seed, 0, MAX_SEED, true)
      const except = parseExcept(args.weights, repeatedValues(rawArgs, createFlags, 'except'), seed)
      const given = readInputs(terminal, args, space, path, except)
      const architecture = printArchitecture(space, path)
      const parsed = trainingSpecSchema.safeParse({
        name: args.name ?? architecture.slice(0, 100),
        space: ref,
        architecture,
        dataset: {
          name: args.dataset,
          ...(args.fingerprint === undefined ? {} : { fingerprint: args.fingerprint }),
          ...(args.bits === undefined ? {} : { bits: Number(args.bits) }),
        },
        recipe,
        ...given.spec,
        seed,
        ...(args['share-seed'] === undefined ? {} : { shareSeed: numberIn('share-seed', args['share-seed'], 0, MAX_SEED, true) }),
        test: args.test,
        ...readLeaseFlags(args),
      })
      if (!parsed.success) throw new CliError('usage', 'the training is not valid', fieldErrors(parsed.error))
      const client = connect(terminal, args)
      const created = await client.createTraining(parsed.data)
      try {
        for (const [input, bytes] of given.files) await client.storeTrainingInput(created.trainingId, input, bytes)
      } catch (error) {
        // Without them it would never begin.
        await client.deleteTraining(created.trainingId).catch(() => undefined)
        throw error
      }
      const agentCommand = `${typedCommand('worker-agent')} --coordinator ${client.url} --token ${created.agentToken} --data PATH`
      printResult(terminal, args.json === true, { ...created, agentCommand }, () =>
        [
          `training     ${created.trainingId}  ${printable(parsed.data.name)}`,
          `network      ${architecture}, ${printCount(created.parameters)} parameters`,
          `checkpoints  about ${(created.checkpointBytes / 2 ** 20).toFixed(1)} MiB each`,
          `agent token  ${created.agentToken}`,
          '             (shown this once)',
          '',
          'Start agents, on this machine or any other that reaches the coordinator. One trains, the others stand by:',
          `  ${agentCommand}`,
          '',
          'Wait for the network and fetch it:',
          `  ${typedCommand('gatehouse')} training download ${created.trainingId} --wait --out my-model`,
        ].join('\n'),
      )
    },
  }) as CommandDef
}

type Inputs = {
  readonly spec: Pick<TrainingSpecInput, 'initial' | 'teacher'>
  readonly files: ReadonlyMap<TrainingInput, Uint8Array<ArrayBuffer>>
}

/** What the training begins with, and how it is announced. Throws CliError `usage`. */
function readInputs(terminal: Terminal, args: { weights?: string; teacher?: string }, space: Space, path: Path, except: Except): Inputs {
  const files = new Map<TrainingInput, Uint8Array<ArrayBuffer>>()
  let spec: Inputs['spec'] = {}
  try {
    if (args.weights !== undefined) {
      const { fingerprint, tensors } = readInitialWeights(resolve(terminal.folder, args.weights), space, path, except)
      files.set('initial', encodeSafetensors({ metadata: {}, tensors }, 'F32'))
      spec = { initial: { fingerprint } }
    }
    if (args.teacher !== undefined) {
      const { description, weights, statistics } = readModelFolder(resolve(terminal.folder, args.teacher))
      const { space: ref, architecture, normalisation } = description
      files.set('teacher', encodeSafetensors({ metadata: {}, tensors: modelTensors(weights, statistics) }, 'F32'))
      const fingerprint = teacherFingerprint({ space: ref, architecture, weights, statistics })
      spec = { ...spec, teacher: { fingerprint, space: ref, architecture, normalisation } }
    }
  } catch (error) {
    const isUsage = error instanceof NetworkWeightsError || error instanceof ModelFolderError
    throw isUsage ? new CliError('usage', error.message) : error
  }
  return { spec, files }
}

function listCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'list', description: 'List all trainings, the newest first.' },
    args: connectionFlags,
    async run({ args }) {
      const listed = await connect(terminal, args).listTrainings()
      const { members } = listed
      printResult(terminal, args.json === true, [...members, ...unreadableJson('trainingId', listed)], () =>
        renderUnreadable(
          members.length === 0
            ? 'no trainings yet'
            : renderTable(
                [
                  { title: 'id' },
                  { title: 'name' },
                  { title: 'phase' },
                  { title: 'epoch', align: 'right' },
                  { title: 'accuracy' },
                  { title: 'created' },
                ],
                members.map(({ trainingId, name, phase, epoch, accuracy, createdAtMs }) => [
                  trainingId,
                  printable(name),
                  phase,
                  String(Number(epoch.toFixed(2))),
                  accuracy === null ? '' : printShare(accuracy),
                  printTime(createdAtMs),
                ]),
              ),
          listed,
          'gatehouse training delete ID --yes',
        ),
      )
    },
  }) as CommandDef
}

function statusCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'status', description: 'Print where a training stands: epochs, loss, accuracy, and who trained what.' },
    args: { ...trainingArg, ...connectionFlags },
    async run({ args }) {
      const client = connect(terminal, args)
      const status = await client.trainingStatus(await resolveTraining(client, args.id))
      printResult(terminal, args.json === true, status, () => renderTraining(status))
    },
  }) as CommandDef
}

type Finished = Extract<TrainingStatus['result'], { end: 'finished' | 'stopped' }>

/** The result. Throws CliError where there is no network: `unfinished`, or `failure` where the training diverged. */
function finishedResult({ result, trainingId, phase }: TrainingStatus): Finished {
  if (!result && phase === 'stopped') throw new CliError('unfinished', `training ${trainingId} was stopped; it has no network`)
  if (!result) throw new CliError('unfinished', `training ${trainingId} has not ended yet; --wait waits until it has`)
  if (result.end === 'stopped') throw new CliError('unfinished', `training ${trainingId} was stopped as hopeless; it has no network`)
  if (result.end === 'diverged') throw new CliError('failure', `training ${trainingId} diverged: ${result.message}`)
  return result
}

function watchCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'watch',
      description:
        'Follow a training until it ends, with a line on standard error where something changed. Waits while the coordinator is away.',
    },
    args: { ...trainingArg, ...intervalFlag, ...connectionFlags },
    async run({ args }) {
      const client = connect(terminal, args, { readAttempts: 1 })
      const intervalMs = readInterval(args.interval)
      const status = await watchTraining(terminal, client, await resolveTraining(client, args.id), intervalMs)
      printResult(terminal, args.json === true, status, () => renderTraining(status))
      finishedResult(status)
    },
  }) as CommandDef
}

function downloadCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'download', description: 'Write the trained network to a folder, as "gatehouse train" does.' },
    args: {
      ...trainingArg,
      out: {
        type: 'string',
        valueHint: 'FOLDER',
        description: 'where the trained network goes: model.json and model.safetensors',
        required: true,
      },
      wait: { type: 'boolean', description: 'wait until the training has ended', default: false },
      ...intervalFlag,
      ...connectionFlags,
    },
    async run({ args }) {
      const out = resolve(terminal.folder, args.out)
      if (existsSync(join(out, DESCRIPTION_FILE))) {
        throw new CliError('conflict', `${out} has a trained network already: choose another --out or remove it`)
      }
      const client = connect(terminal, args)
      const trainingId = await resolveTraining(client, args.id)
      const intervalMs = readInterval(args.interval)
      const status = args.wait ? await watchTraining(terminal, client, trainingId, intervalMs) : await client.trainingStatus(trainingId)
      const result = finishedResult(status)
      writeDownloaded(out, status, result, await client.trainingModel(trainingId))
      const { validation, test } = result
      const figures = { trainingId, out, accuracy: validation.top1, validation, test }
      printResult(terminal, args.json === true, figures, () =>
        [`validation ${printShare(validation.top1)}`, ...(test ? [`test ${printShare(test.top1)}`] : []), `written to ${out}`].join('\n'),
      )
    },
  }) as CommandDef
}

/** Throws CliError `failure` where the bytes are not the network of the training. */
function writeDownloaded(folder: string, status: TrainingStatus, result: Finished, bytes: Uint8Array): void {
  const { spec, reports, datasetFingerprint } = status
  const space = createSpace(spec.space)
  const { recipe, seed, shareSeed = seed, architecture, teacher, initial } = spec
  const { bits } = spec.dataset
  const { steps, validation, test, normalisation, classNames } = result
  try {
    writeModelFolder(folder, {
      description: {
        format: MODEL_FORMAT,
        space: spec.space,
        architecture,
        normalisation,
        ...(classNames && { classNames }),
        dataset: { name: spec.dataset.name, fingerprint: datasetFingerprint ?? '', ...(bits !== undefined && { bits }) },
        training: { recipe, seed, shareSeed, steps, teacher: teacher?.fingerprint ?? null, initial: initial?.fingerprint ?? null },
        results: { validation, test, trainLoss: reports.at(-1)?.trainLoss ?? null },
      },
      ...decodeModelWeights(space, parseArchitecture(space, architecture), bytes),
    })
  } catch (error) {
    if (error instanceof NetworkWeightsError || error instanceof ModelFolderError) throw new CliError('failure', error.message)
    throw error
  }
}

function phaseCommand(terminal: Terminal, change: PhaseChange, description: string): CommandDef {
  return defineCommand({
    meta: { name: change, description },
    args: { ...trainingArg, ...connectionFlags },
    async run({ args }) {
      const client = connect(terminal, args)
      const trainingId = await resolveTraining(client, args.id)
      const phase = await client.changeTrainingPhase(trainingId, change)
      printResult(terminal, args.json === true, { trainingId, phase }, () => `training ${trainingId} is now ${phase}`)
    },
  }) as CommandDef
}

function deleteCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: { name: 'delete', description: 'Delete a training with its checkpoint and its network. This cannot be undone.' },
    args: {
      ...trainingArg,
      yes: { type: 'boolean', description: 'needed: confirms that everything of the training shall be deleted' },
      ...connectionFlags,
    },
    async run({ args }) {
      if (args.yes !== true) throw new CliError('usage', `deleting training ${args.id} cannot be undone; add --yes to do it`)
      const client = connect(terminal, args)
      const trainingId = await resolveTraining(client, args.id)
      await client.deleteTraining(trainingId)
      printResult(terminal, args.json === true, { trainingId, deleted: true }, () => `training ${trainingId} is deleted`)
    },
  }) as CommandDef
}

export { createTrainingCommands }
