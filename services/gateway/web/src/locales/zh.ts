import element from 'element-plus/es/locale/lang/zh-cn';

import { tree } from './messages';

export const messages = tree(import.meta.glob<object>('./zh/*.json', { eager: true, import: 'default' }));
export { element };
