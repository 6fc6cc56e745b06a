// The tables of docs/training.md, from the schema that checks recipes.

import * as z from 'zod'
import { recipeSchema } from '../protocol/index.ts'
import { renderFieldTable } from './search-config-page.ts'

function renderRecipeTable(): string {
  return renderFieldTable(z.toJSONSchema(recipeSchema, { io: 'input' }))
}

export { renderRecipeTable }
