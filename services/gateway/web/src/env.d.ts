/// <reference types="vite/client" />
import 'vue-router';
import type { Component } from 'vue';

import type { Permission } from '@/api/types';

declare module 'vue-router' {
  interface RouteMeta {
    /** Shown to those who are not signed in, too. */
    open?: boolean;
    /** The key of the page's title among the messages. */
    title: string;
    /** Any one of these is enough to see the page; without it everybody signed in does. */
    permissions?: readonly Permission[];
    /** Its place in the navigation, smallest first; pages without one are reached from others. */
    navigation?: { order: number; icon: Component };
  }
}
