// `latency-lut validate`: does a table predict whole networks?

import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { CliError } from '../../../command-line/exit-codes.ts'
import { latencyOf } from '../../../command-line/table-file.ts'
import { printResult, type Terminal } from '../../../command-line/terminal.ts'
import { badPlotFile, drawPlot } from '../../../plots/plot-file.ts'
import type { ScatterPlot } from '../../../plots/scatter.ts'
import { correct } from '../../table/agreement.ts'
import type { LatencyTable } from '../../table/table.ts'
import { readSpace, readTableFile, writeTableFile } from './files.ts'
import { jsonFlag, spaceFlag, tableFlag } from './flags.ts'
import { DEFAULT_VALIDATED_NETWORKS, MAX_VALIDATED_NETWORKS, MIN_VALIDATED_NETWORKS } from '../node/limits.ts'
import { describeMachine } from '../node/machine.ts'
import { openNamedRuntime, readSampling, samplingFlags } from './measuring-flags.ts'
import { createProgressBar } from './progress-bar.ts'
import { wholeNumber } from './quantities.ts'
import { renderValidation } from './render-validation.ts'
import { type RuntimeName, runtimeNames } from '../runtimes/runtime.ts'
import { errorOfMedian, type Validation } from '../node/validate.ts'

type RuntimeChoice = { readonly runtime: RuntimeName; readonly threads: string; readonly provider?: string | undefined }

/** The runtime that the table was measured in. Throws CliError `usage` where this program does not have it, or another is asked for. */
function runtimeOf(table: LatencyTable, asked: string | undefined): RuntimeChoice {
  const { name, threads = 1 } = table.runtime
  // `onnxruntime-cuda` is onnxruntime with another provider.
  const runtime = runtimeNames.find((each) => name === each || (each === 'onnxruntime' && name.startsWith(`${each}-`)))
  if (!runtime || (asked !== undefined && asked !== runtime && asked !== name)) {
    const reason = runtime ? `not in ${asked}` : `which cannot be measured here: expected ${runtimeNames.join(', ')}`
    throw new CliError('usage', `table ${table.name} was measured in ${name}, ${reason}`)
  }
  return { runtime, threads: String(threads), ...(name === runtime ? {} : { provider: name.slice(runtime.length + 1) }) }
}

function plotOf(table: LatencyTable, { networks, correction }: Validation): ScatterPlot {
  const series = (['fitted', 'held out'] as const).map((half) => ({
    name: half === 'fitted' && correction === null ? 'first half' : half,
    points: networks
      .filter((network) => network.half === half)
      .map((network) => ({
        x: network.predictedMs,
        y: network.measuredMs,
        yError: errorOfMedian(network),
        title: network.architecture,
      })),
  }))
  const sums = networks.map(({ predictedMs }) => predictedMs)
  const ends = [Math.min(...sums), Math.max(...sums)]
  return {
    title: `${table.name}: ${networks.length} whole networks, ${table.runtime.name}, batch ${table.batch}`,
    x: { label: 'sum of the table’s entries, ms' },
    y: { label: 'measured, ms' },
    series,
    lines: correction === null ? [] : [{ name: 'correction', points: ends.map((x) => ({ x, y: correct(x, correction) })) }],
    identity: { name: 'equal' },
  }
}

/** Throws CliError `failure`, naming the file. */
async function writePlot(file: string, plot: ScatterPlot): Promise<void> {
  await writeFile(file, await drawPlot(file, plot)).catch((error: unknown) => {
    throw new CliError('failure', `cannot write ${file}: ${error instanceof Error ? error.message : String(error)}`)
  })
}

function validateCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'validate',
      description:
        'Measure random whole networks and compare them with the sums of a table. An affine correction is fitted to one half of them; the figures are those of the other half. Leave the machine alone meanwhile.',
    },
    args: {
      ...spaceFlag,
      ...tableFlag,
      runtime: { type: 'enum', options: [...runtimeNames], description: 'has to be that of the table, which is the default' },
      networks: {
        type: 'string',
        valueHint: 'N',
        default: String(DEFAULT_VALIDATED_NETWORKS),
        description: 'different architectures, drawn uniformly',
      },
      ...samplingFlags,
      plot: { type: 'string', valueHint: 'FILE', description: 'scatter plot, as its ending says: .svg or .png' },
      store: { type: 'boolean', description: 'write the correction into the table: from then on it applies wherever the table is used' },
      out: { type: 'string', valueHint: 'FILE', description: 'write the table with the correction to another file instead' },
      ...jsonFlag,
    },
    async run({ args }) {
      const sampling = readSampling(args)
      const count = wholeNumber('networks', args.networks, MIN_VALIDATED_NETWORKS, MAX_VALIDATED_NETWORKS)
      if (args.store && args.out !== undefined)
        throw new CliError('usage', '--store writes into the table, --out into another file: give one')
      const { plot } = args
      const badPlot = plot === undefined ? null : badPlotFile(plot)
      if (badPlot !== null) throw new CliError('usage', badPlot)
      const space = await readSpace(args.space, terminal.folder)
      const file = resolve(terminal.folder, args.table)
      const table = await readTableFile(file)
      const latency = latencyOf(space, { ...table, correction: undefined })
      const runtime = await openNamedRuntime(terminal, runtimeOf(table, args.runtime))
      const here = describeMachine(runtime)
      if (here.device.name !== table.device.name) {
        terminal.note(`warning: the table is of ${table.device.name}, this is ${here.device.name}`)
      }
      if (here.runtime.version !== table.runtime.version) {
        terminal.note(
          `warning: the table is of version ${table.runtime.version ?? 'unknown'}, this is ${here.runtime.version ?? 'unknown'}`,
        )
      }
      const { differentPaths } = await import('../node/profile.ts')
      const { validate } = await import('../node/validate.ts')
      const paths = differentPaths(space, count, sampling.seed)
      if (paths.length < MIN_VALIDATED_NETWORKS) {
        throw new CliError('usage', `${space.name} has ${paths.length} architectures only: too few to tell a good table from a bad one`)
      }
      terminal.note(`measuring ${paths.length} networks of ${space.name} at batch ${table.batch} for up to ${sampling.budgetMs / 1000} s`)
      const validation = await validate({
        space,
        latency,
        paths,
        runtime,
        batch: table.batch,
        ...sampling,
        signal: terminal.interrupted,
        onProgress: createProgressBar(process.stderr),
      })
      const { correction, before, after } = validation
      if (plot !== undefined) {
        await writePlot(resolve(terminal.folder, plot), plotOf(table, validation))
        terminal.note(`wrote ${plot}`)
      }
      const named = { table: table.name, space: space.name, runtime: table.runtime.name, batch: table.batch, seed: sampling.seed }
      // The figures of the half held out are the result; the rest says where they come from.
      printResult(
        terminal,
        args.json === true,
        { ...named, ...(after ?? before), ...validation, measured: validation.networks, networks: before.networks },
        () => renderValidation(table.name, validation),
      )
      if (!args.store && args.out === undefined) return
      if (correction === null) throw new CliError('failure', 'no correction fits these networks; nothing was written')
      const target = args.out === undefined ? file : resolve(terminal.folder, args.out)
      await writeTableFile(target, { ...table, correction })
      terminal.note(`wrote the correction to ${args.out ?? args.table}`)
    },
  }) as CommandDef
}

export { validateCommand }
