// `latency-lut coverage` and `latency-lut predict`: what a table lacks for a space, and F that fills it in.

import { resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { CliError } from '../../../command-line/exit-codes.ts'
import { printResult, type Terminal } from '../../../command-line/terminal.ts'
import { findEntry } from '../../table/coverage.ts'
import { fillMissing, holdOut } from '../../table/prediction.ts'
import { fitPredictor } from '../../table/predictor.ts'
import type { LatencyTable } from '../../table/table.ts'
import { readSpace, readTableFile, writeTableFile } from './files.ts'
import { jsonFlag, spaceFlag, tableFlag } from './flags.ts'
import { wholeNumber } from './quantities.ts'
import { type CoveredKey, renderCoverage, renderFits, renderHeldOut, renderPredicted } from './render.ts'

/** With every second entry held out F is fitted to the other half. */
const MIN_HOLDOUT = 2
const MAX_HOLDOUT = 1000

function coverageCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'coverage',
      description:
        'Say for every operation of a search space whether a table has it, and for those that it lacks what would be predicted. Exit code 1 if one is missing.',
    },
    args: { ...spaceFlag, ...tableFlag, ...jsonFlag },
    async run({ args }) {
      const space = await readSpace(args.space, terminal.folder)
      const table = await readTableFile(resolve(terminal.folder, args.table))
      const { predicted } = fillMissing(space, table)
      const keys = space.measurableOperations().map(({ latencyKey: key }): CoveredKey => {
        const entry = findEntry(table, key)
        return {
          key,
          meanMs: entry?.meanMs ?? null,
          isPredicted: entry?.predicted !== undefined,
          predictedMs: predicted[key]?.meanMs ?? null,
        }
      })
      const missing = keys.flatMap(({ key, meanMs }) => (meanMs === null ? [key] : []))
      printResult(
        terminal,
        args.json === true,
        { space: space.name, table: table.name, isCovered: missing.length === 0, missing, predictable: Object.keys(predicted), keys },
        () => renderCoverage(`${space.name} by ${table.name}`, keys),
      )
      if (missing.length > 0)
        throw new CliError('failure', `${table.name} lacks ${missing.length} of the ${keys.length} keys of ${space.name}`)
    },
  }) as CommandDef
}

function reportHeldOut(terminal: Terminal, table: LatencyTable, every: number, json: boolean): void {
  const heldOut = holdOut(table, every)
  printResult(terminal, json, { table: table.name, every, ...heldOut }, () => renderHeldOut(table.name, every, heldOut))
}

function predictCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'predict',
      description:
        'Predict what a table lacks for a search space from what it has, and say how good such predictions are. Exit code 1 if something cannot be predicted.',
    },
    args: {
      ...tableFlag,
      space: { ...spaceFlag.space, required: false, description: `${spaceFlag.space.description}; default: only say how good F is` },
      out: { type: 'string', valueHint: 'FILE', description: 'where to write the table with the predicted entries, each marked as such' },
      holdout: {
        type: 'string',
        valueHint: 'N',
        description: 'instead: hold out every Nth entry, predict it from the others, and say how far off that is',
      },
      ...jsonFlag,
    },
    async run({ args }) {
      const isJson = args.json === true
      if (args.holdout !== undefined && (args.space !== undefined || args.out !== undefined)) {
        throw new CliError('usage', '--holdout predicts entries that the table has: it goes without --space and --out')
      }
      if (args.out !== undefined && args.space === undefined)
        throw new CliError('usage', '--out needs --space: the space says which keys are missing')
      const every = args.holdout === undefined ? null : wholeNumber('holdout', args.holdout, MIN_HOLDOUT, MAX_HOLDOUT)
      const table = await readTableFile(resolve(terminal.folder, args.table))
      if (every !== null) return reportHeldOut(terminal, table, every, isJson)
      const { fits } = fitPredictor(table)
      if (args.space === undefined) {
        printResult(terminal, isJson, { table: table.name, fits }, () => renderFits(table.name, fits))
        return
      }
      const space = await readSpace(args.space, terminal.folder)
      const { table: filled, predicted, refused } = fillMissing(space, table)
      const entries = Object.entries(predicted).map(([key, { meanMs }]) => ({ key, meanMs }))
      if (args.out !== undefined && refused.length === 0) {
        await writeTableFile(resolve(terminal.folder, args.out), filled)
        terminal.note(`wrote ${args.out}`)
      }
      printResult(terminal, isJson, { table: table.name, space: space.name, fits, predicted: entries, refused }, () =>
        [renderFits(table.name, fits), '', renderPredicted(space.name, entries, refused)].join('\n'),
      )
      if (refused.length > 0)
        throw new CliError('failure', `${refused.length} keys of ${space.name} cannot be predicted; nothing was written`)
    },
  }) as CommandDef
}

export { coverageCommand, predictCommand }
