import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  base: "./", // works below any path
  plugins: [react()],
  build: {
    outDir: "build/site",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the content security policy allows no inline script or style
    modulePreload: { polyfill: false },
    target: "es2023",
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8700" } },
});
