// `latency-lut profile` and `measure`: what measures on this machine.

import { access } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { CliError } from '../../../command-line/exit-codes.ts'
import { latencyOf } from '../../../command-line/table-file.ts'
import { printResult, type Terminal } from '../../../command-line/terminal.ts'
import { parseArchitecture, printArchitecture, type Space, SpaceError } from '../../../search-space/index.ts'
import { fitCorrection } from '../../table/agreement.ts'
import { tableNameSchema } from '../../table/table.ts'
import { assertReplaceable, readSpace, readTableFile, writeTableFile } from './files.ts'
import { jsonFlag, spaceFlag } from './flags.ts'
import { MAX_CHECKED_NETWORKS } from '../node/limits.ts'
import { describeMachine } from '../node/machine.ts'
import { measuringFlags, openNamedRuntime, readBatch, readSampling, readThreads } from './measuring-flags.ts'
import { type Conditions, openCheckpoint, partialFileOf, removePartial } from './partial-profile.ts'
import { createProgressBar } from './progress-bar.ts'
import { wholeNumber } from './quantities.ts'
import { qualityWarnings, renderBeside, renderChecks, renderLatencyTable, renderMeasured } from './render.ts'
import type { Runtime } from '../runtimes/runtime.ts'

/** Of `--correct`: a line fitted to fewer follows their noise. */
const MIN_CORRECTING_NETWORKS = 5

/** Throws CliError `usage`, naming the block, if the text is no architecture of the space. */
function readArchitecture(space: Space, text: string): number[] {
  try {
    return parseArchitecture(space, text)
  } catch (error) {
    throw error instanceof SpaceError ? new CliError('usage', error.message) : error
  }
}

/** What an interrupted profile's samples belong to. */
function conditionsOf(space: Space, runtime: Runtime, batch: number, seed: number, paths: readonly number[][]): Conditions {
  const { device, runtime: recorded } = describeMachine(runtime)
  return {
    space: space.name,
    operations: space
      .measurableOperations()
      .map(({ latencyKey }) => latencyKey)
      .join(' '),
    networks: paths.map((path) => printArchitecture(space, path)).join(' '),
    device: device.name,
    runtime: recorded.name,
    version: recorded.version ?? '',
    threads: recorded.threads ?? 0,
    batch,
    seed,
  }
}

async function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}

function profileCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'profile',
      description:
        'Measure every operation of a search space on this machine. Leave the machine alone meanwhile: what else runs is measured too.',
    },
    args: {
      ...spaceFlag,
      name: { type: 'string', valueHint: 'NAME', description: 'of the table; default: SPACE-RUNTIME' },
      out: { type: 'string', valueHint: 'FILE', description: 'where to write the table; default: NAME.json, with --json nowhere' },
      resume: { type: 'boolean', description: 'go on from where an interrupted profile stopped; it left FILE.part' },
      ...measuringFlags,
      check: {
        type: 'string',
        valueHint: 'N',
        default: '0',
        description: 'measure N random networks in the same rounds, to see how well the table predicts them; see also validate',
      },
      correct: {
        type: 'boolean',
        description: 'write into the table by how much these networks take longer than their operations do, as a line fitted to them',
      },
      ...jsonFlag,
    },
    async run({ args }) {
      const batch = readBatch(args.batch)
      const sampling = readSampling(args)
      readThreads(args)
      const checks = wholeNumber('check', args.check, 0, MAX_CHECKED_NETWORKS)
      if (args.correct && checks < MIN_CORRECTING_NETWORKS) {
        throw new CliError('usage', `expected --check ${MIN_CORRECTING_NETWORKS} or more with --correct, got ${checks}`)
      }
      if (args.name !== undefined && !tableNameSchema.safeParse(args.name).success) {
        throw new CliError('usage', `expected --name to have lower-case letters, digits, ".", "_" or "-", 64 at most, got "${args.name}"`)
      }
      if (args.resume && args.json && args.out === undefined) {
        throw new CliError('usage', '--resume needs --out with --json: the samples so far are next to that file')
      }
      const space = await readSpace(args.space, terminal.folder)
      const runtime = await openNamedRuntime(terminal, args)
      const { profileAndCheck, randomPaths } = await import('../node/profile.ts')
      const name = args.name ?? `${space.name}-${runtime.recorded.name}`
      const out = args.out ?? (args.json ? undefined : `${name}.json`)
      if (out !== undefined) await assertReplaceable(resolve(terminal.folder, out))
      const paths = randomPaths(space, checks, sampling.seed)
      const partial = out === undefined ? undefined : partialFileOf(resolve(terminal.folder, out))
      const checkpoint =
        partial === undefined
          ? undefined
          : await openCheckpoint(partial, conditionsOf(space, runtime, batch, sampling.seed, paths), args.resume === true)
      if (checkpoint?.earlier) terminal.note(`going on after ${checkpoint.earlier.rounds.length} rounds`)
      terminal.note(
        `measuring ${space.measurableOperations().length} operations of ${space.name} at batch ${batch} for up to ${sampling.budgetMs / 1000} s`,
      )
      const options = {
        space,
        runtime,
        batch,
        ...sampling,
        name,
        signal: terminal.interrupted,
        onProgress: createProgressBar(process.stderr),
      }
      const profiled = await profileAndCheck({ ...options, checkpoint }, paths).catch(async (error: unknown) => {
        if (partial !== undefined && (await isThere(partial)))
          terminal.note(`kept what was measured in ${partial}: --resume goes on from there`)
        throw error
      })
      const { networks, meanAbsoluteError } = profiled
      const correction = args.correct ? fitCorrection(networks) : null
      if (args.correct && correction === null) {
        terminal.note('warning: no correction: networks that are predicted to be slower are not; measure again')
      }
      const table = correction === null ? profiled.table : { ...profiled.table, correction }
      if (out !== undefined && partial !== undefined) {
        await writeTableFile(resolve(terminal.folder, out), table)
        await removePartial(partial)
        terminal.note(`wrote ${out}`)
      }
      for (const warning of qualityWarnings(table)) terminal.note(`warning: ${warning}`)
      const checked = networks.length > 0 ? renderChecks(networks, meanAbsoluteError, correction) : null
      if (checked !== null && args.json) terminal.note(checked)
      printResult(terminal, args.json === true, table, () =>
        [renderLatencyTable(table), ...(checked === null ? [] : ['', checked])].join('\n'),
      )
    },
  }) as CommandDef
}

function measureCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'measure',
      description:
        'Measure one whole network on this machine, the way its operations are measured; with --table beside what that predicts.',
    },
    args: {
      ...spaceFlag,
      architecture: { type: 'string', required: true, valueHint: 'TEXT', description: 'as in fashion-mini:mb3k5,zero,…' },
      table: {
        type: 'string',
        valueHint: 'FILE',
        description:
          'hold the network against this table: its operations are measured again in the same rounds, which tells a machine that has another speed now from a table whose sums are wrong',
      },
      ...measuringFlags,
      ...jsonFlag,
    },
    async run({ args }) {
      const batch = readBatch(args.batch)
      const sampling = readSampling(args)
      const space = await readSpace(args.space, terminal.folder)
      const path = readArchitecture(space, args.architecture)
      const runtime = await openNamedRuntime(terminal, args)
      const { measureBeside, measureNetwork } = await import('../node/profile.ts')
      const options = { space, runtime, batch, ...sampling, signal: terminal.interrupted, onProgress: createProgressBar(process.stderr) }
      const { architecture } = args
      if (args.table !== undefined) {
        const table = await readTableFile(resolve(terminal.folder, args.table))
        const sums = latencyOf(space, { ...table, correction: undefined })
        const beside = await measureBeside(options, sums, table.correction, path)
        printResult(terminal, args.json === true, { architecture, batch, runtime: runtime.recorded.name, ...beside }, () =>
          renderBeside(architecture, batch, beside),
        )
        return
      }
      const entry = await measureNetwork({ ...options, path })
      printResult(terminal, args.json === true, { architecture, batch, runtime: runtime.recorded.name, ...entry }, () =>
        renderMeasured(architecture, batch, entry),
      )
    },
  }) as CommandDef
}

export { measureCommand, profileCommand }
