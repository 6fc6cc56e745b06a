import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { buildModules } from '../../packaging/modules.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gatehouse-packaging-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

function write(files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
}

describe('the modules of the package', () => {
  it('are those that the entries need, wherever they name them, without types', () => {
    write({
      'a/main.ts': `
        import { two } from '../b/two.ts'
        import type { Three } from '../b/types.ts'
        export { four } from '../b/four.ts'
        const lazy = await import('./lazy.ts')
        const thread = new URL('./thread.ts', import.meta.url)
        const process = new URL('process.ts', import.meta.url)
        const command = 'b/command.ts'
        const value: Three = two as Three`,
      ...Object.fromEntries(
        ['a/lazy', 'a/thread', 'a/process', 'b/command', 'b/two', 'b/four', 'b/types', 'b/unused'].map((name) => [`${name}.ts`, '']),
      ),
    })
    const { files } = buildModules(root, ['a/main.ts'])
    expect([...files.keys()].toSorted()).toEqual(
      ['a/lazy', 'a/main', 'a/process', 'a/thread', 'b/command', 'b/four', 'b/two'].map((name) => `${name}.js`),
    )
    const code = files.get('a/main.js')
    expect(code).not.toMatch(/\.ts\b|Three/)
    for (const name of ['../b/two.js', '../b/four.js', './lazy.js', './thread.js', 'process.js', 'b/command.js'])
      expect(code).toContain(`'${name}'`)
  })

  it('leave those out that are excluded, and name the packages that they import', () => {
    write({
      'main.ts': `import { z } from 'zod/v4'\nimport type { T } from 'types'\nimport '@scope/name/sub'\nimport { join } from 'node:path'
        const later = () => Promise.all([import('./builder.ts'), import('sharp')])`,
      'builder.ts': `import 'wrangler'`,
    })
    const { files, packages } = buildModules(root, ['main.ts'], ['builder.ts'])
    expect([...files.keys()]).toEqual(['main.js'])
    expect([...packages].toSorted()).toEqual(['@scope/name', 'sharp', 'zod'])
  })

  it.each(["new URL('./missing.ts', import.meta.url)", '`run node ${1}/build.ts first`', "'node engine/build.ts'"])(
    'do not go out with the name of a TypeScript file that is not there: %s',
    (expression) => {
      write({ 'main.ts': `console.log(${expression})` })
      expect(() => buildModules(root, ['main.ts'])).toThrow(/main\.ts names a TypeScript file that the package will not have/)
    },
  )
})
