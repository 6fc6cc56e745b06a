// Writes the parts of the documentation that the code itself knows: npm run docs
//
// With --check it writes nothing and fails if a file is not what it would write: npm run check:docs

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { renderCommandsPage } from './commands-page.ts'
import { renderKnownAnswers } from './known-answers.ts'
import { renderSearchConfigPage } from './search-config-page.ts'
import { renderSpacesPage, renderSpacesTable, spacePictures } from './spaces-page.ts'
import { renderRecipeTable } from './training-page.ts'

const KNOWN_ANSWERS_BEGIN = '<!-- known answers, written by npm run docs -->'
const KNOWN_ANSWERS_END = '<!-- end of known answers -->'
const RECIPE_BEGIN = '<!-- fields of a recipe, written by npm run docs -->'
const RECIPE_END = '<!-- end of the fields of a recipe -->'
const SPACES_BEGIN = '<!-- spaces, written by npm run docs -->'
const SPACES_END = '<!-- end of spaces -->'

type Page = {
  /** Relative to this folder. */
  readonly file: string
  /** The whole file as it should be, given the one that is there. */
  render(present: string): Promise<string> | string
}

const pages: readonly Page[] = [
  { file: 'search-config.md', render: renderSearchConfigPage },
  { file: 'commands.md', render: renderCommandsPage },
  { file: 'protocol.md', render: (present) => replaceBetween(present, KNOWN_ANSWERS_BEGIN, KNOWN_ANSWERS_END, renderKnownAnswers()) },
  { file: 'training.md', render: (present) => replaceBetween(present, RECIPE_BEGIN, RECIPE_END, renderRecipeTable()) },
  { file: 'spaces.md', render: renderSpacesPage },
  ...spacePictures,
  { file: '../README.md', render: (present) => replaceBetween(present, SPACES_BEGIN, SPACES_END, renderSpacesTable()) },
]

/** Throws if the marks are not there: the page was written by hand around them. */
function replaceBetween(text: string, begin: string, end: string, content: string): string {
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from === -1 || to < from) throw new Error(`expected the lines "${begin}" and "${end}" in the page`)
  return `${text.slice(0, from + begin.length)}\n\n${content}\n${text.slice(to)}`
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

const isCheck = process.argv.includes('--check')
const stale: string[] = []
for (const { file, render } of pages) {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const present = readOrEmpty(path)
  const wanted = await render(present)
  if (isCheck) {
    if (present !== wanted) stale.push(`docs/${file}`)
  } else {
    writeFileSync(path, wanted)
    console.log(`docs/${file}  ${present === wanted ? 'unchanged' : 'written'}`)
  }
}
if (stale.length > 0) {
  console.error(`not what the code says any more: ${stale.join(', ')}. Run \`npm run docs\` and look at what changed.`)
  process.exitCode = 1
} else if (isCheck) {
  console.log(`${pages.map(({ file }) => `docs/${file}`).join(', ')}: up to date`)
}
