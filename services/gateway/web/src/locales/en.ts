import element from 'element-plus/es/locale/lang/en';

import { tree } from './messages';

export const messages = tree(import.meta.glob<object>('./en/*.json', { eager: true, import: 'default' }));
export { element };
