// Runs before the first paint, so that a chosen theme or language does not flash up as another.
(function () {
  var theme = null, language = null;
  try {
    theme = localStorage.getItem('spaces.theme');
    language = localStorage.getItem('spaces.language');
  } catch { /* storage is off: the browser's own choices hold */ }
  var dark = theme === 'dark' || (theme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.classList.toggle('dark', dark);
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : language === 'en' ? 'en' : /^zh\b/i.test(navigator.language) ? 'zh-CN' : 'en';
})();
