// Tables and the files that they list: a strategy or a kind of task has a file of its own in each folder that docs/architecture.md
// names, and no file is in no table.

import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { scoreNames, strategyNames, taskWorkSchema } from '../../protocol/index.ts'

const root = new URL('../../', import.meta.url)
const filesOf = (folder: string, shared: readonly string[]) =>
  readdirSync(new URL(folder, root))
    .filter((file) => file.endsWith('.ts') && !['index.ts', ...shared].includes(file))
    .map((file) => file.replace(/\.ts$/, ''))
    .toSorted()
const kebab = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
const kinds = taskWorkSchema.options.map(({ shape }) => shape.kind.value)
const architecturePage = readFileSync(new URL('docs/architecture.md', root), 'utf8')

describe('a kind of task', () => {
  it.each([
    ['protocol/tasks', ['parts.ts', 'weight-steps.ts']],
    ['engine/training/runners', ['runner.ts', 'waves.ts', 'weight-steps.ts']],
  ])('is a file in %s/, and every file there is one', (folder, shared) => {
    expect(filesOf(folder, shared)).toEqual(kinds.map(kebab).toSorted())
    expect(architecturePage).toContain(`\`${folder}/\``)
  })
})

describe('a score', () => {
  it.each(scoreNames)('has a file and a row of the page: %s', (name) => {
    expect(filesOf('engine/scores', [])).toContain(name.replaceAll('_', '-'))
    expect(readFileSync(new URL('docs/scores.md', root), 'utf8')).toMatch(new RegExp(`^\\| \`${name}\` \\|`, 'm'))
  })
})

describe('a strategy', () => {
  it('has a file with its settings, and every file there is one', () => {
    const files = filesOf('protocol/strategy-settings', ['alpha.ts', 'importance.ts', 'scores.ts', 'shared-weights.ts', 'trials.ts'])
    expect(files).toHaveLength(strategyNames.length)
    for (const file of files) expect(filesOf('strategies', [])).toContain(file)
  })
})
